// The last answers as a table, and all of them in time.

import { read } from "/ui/device.js";
import { colour, fit, words } from "/ui/draw.js";

const KEPT = 100;
let records = [];

export async function refresh() {
  const last = records.length ? records[0].number : 0;
  const fresh = await read(`/edge/v1/records?after=${last}`);
  if (fresh.length) {
    records = [...fresh.reverse(), ...records].slice(0, KEPT);
    table();
  }
  timeline();
}

function table() {
  document.getElementById("records").replaceChildren(...records.map((one) => {
    const row = document.createElement("tr");
    const failed = one.route === undefined;
    cell(row, "time", new Date(1000 * one.time_s).toLocaleTimeString(), "number");
    cell(row, "asked by", one.trigger);
    cell(row, "question", one.question ?? "(private)");
    cell(row, "answer", failed ? one.error : one.answer ?? "(private)", failed ? "none" : "");
    cell(row, "route", failed ? "none" : words.route[one.route], failed ? "none" : one.route);
    cell(row, "ms", failed ? "" : one.latency_ms.toFixed(0), "number");
    cell(row, "bytes up", failed ? "" : String(one.bytes_up), "number");
    cell(row, "USD", failed ? "" : one.cost_usd.toFixed(6), "number");
    cell(row, "why", failed ? "" : one.reason, "why");
    return row;
  }));
}

function cell(row, name, text, kind = "") {
  const made = document.createElement("td");
  made.dataset.name = name;
  made.textContent = text;
  if (kind) made.className = kind;
  row.append(made);
}

function timeline() {
  const plot = document.getElementById("timeline");
  const [context, width, height] = fit(plot);
  if (!records.length) return;
  const until = Date.now() / 1000;
  const span = Math.max(60, until - records[records.length - 1].time_s) * 1.02;
  const slowest = Math.max(100, ...records.map((one) => one.latency_ms ?? 0));
  const base = height - 18;
  context.font = "12px system-ui, sans-serif";
  context.fillStyle = colour("dim");
  context.fillText(words.ms(slowest), 6, 14);
  context.fillText(`${Math.round(span / 60) || 1} min ago`, 6, height - 4);
  context.fillText("now", width - 30, height - 4);
  for (const one of records) {
    const x = width - ((until - one.time_s) / span) * (width - 20) - 10;
    const tall = one.latency_ms === undefined ? base - 20 : Math.max(3, (one.latency_ms / slowest) * (base - 20));
    context.strokeStyle = context.fillStyle = colour(one.route ?? "none");
    context.fillRect(x - 1, base - tall, 2, tall);
    context.beginPath();
    context.arc(x, base - tall, 4, 0, 7);
    if (one.route === undefined) context.stroke(); else context.fill();
  }
}
