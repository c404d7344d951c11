// The editor of privacy masks: drag over the picture, or type; saved masks are in force with the next frame.

import { read, write } from "/ui/device.js";
import { drawOver } from "/ui/live.js";

const NAMES = ["left", "top", "width", "height"];
const LEAST = 0.005;
const canvas = document.getElementById("picture");
const form = document.getElementById("masks");
const list = document.getElementById("mask-list");
const state = document.getElementById("mask-state");
const button = document.getElementById("edit-masks");
let masks = [];
let fixed = [];
let from = null;

export function start() {
  button.addEventListener("click", () => toggle());
  document.getElementById("add-mask").addEventListener("click", () => {
    masks.push([0.25, 0.25, 0.5, 0.5]);
    changed();
    list.querySelector("li:last-child input").focus();
  });
  document.getElementById("drop-masks").addEventListener("click", load);
  form.addEventListener("submit", save);
  canvas.addEventListener("pointerdown", begin);
  canvas.addEventListener("pointermove", drag);
  canvas.addEventListener("pointerup", end);
}

export async function toggle() {
  const opening = form.hidden;
  if (opening) await load(); // before it can be seen: what was added while it loads would be lost
  form.hidden = !opening;
  button.setAttribute("aria-expanded", String(opening));
  canvas.classList.toggle("editing", opening);
  drawOver(opening ? outline : () => {});
}

async function load() {
  try {
    ({ masks, fixed } = await read("/edge/v1/masks"));
    state.textContent = "";
  } catch (error) {
    state.textContent = error.message;
  }
  rows();
  drawOver(outline);
}

async function save(event) {
  event.preventDefault();
  try {
    ({ masks, fixed } = await (await write("PUT", "/edge/v1/masks", { masks })).json());
    state.textContent = `saved: ${masks.length + fixed.length} in force`;
    rows();
  } catch (error) {
    state.textContent = error.message;
  }
  drawOver(outline);
}

function changed() {
  state.textContent = "not saved yet";
  rows();
  drawOver(outline);
}

function rows() {
  list.replaceChildren(...masks.map((mask, index) => {
    const row = document.createElement("li");
    NAMES.forEach((name, at) => {
      const label = document.createElement("label");
      const input = document.createElement("input");
      label.textContent = `${name} `;
      Object.assign(input, { type: "number", min: 0, max: 100, step: 0.1, value: +(100 * mask[at]).toFixed(1) });
      input.addEventListener("change", () => {
        mask[at] = Math.max(at > 1 ? LEAST : 0, Math.min(1, input.valueAsNumber / 100 || 0));
        state.textContent = "not saved yet";
        drawOver(outline);
      });
      label.append(input);
      row.append(label, " ");
    });
    const remove = document.createElement("button");
    remove.type = "button";
    remove.textContent = "remove";
    remove.setAttribute("aria-label", `remove mask ${index + 1}`);
    remove.addEventListener("click", () => {
      masks.splice(index, 1);
      changed();
    });
    row.append(remove);
    return row;
  }));
}

function outline(context) {
  context.lineWidth = 2;
  for (const [set, colour] of [[fixed, "#9aa7b5"], [masks, "#ffd23f"]]) {
    context.strokeStyle = colour;
    for (const [left, top, width, height] of set) {
      context.strokeRect(left * canvas.width, top * canvas.height, width * canvas.width, height * canvas.height);
    }
  }
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  const within = (share) => Math.max(0, Math.min(1, share));
  return [within((event.clientX - box.left) / box.width), within((event.clientY - box.top) / box.height)];
}

function begin(event) {
  if (form.hidden) return;
  canvas.setPointerCapture(event.pointerId);
  from = place(event);
  masks.push([...from, LEAST, LEAST]);
}

function drag(event) {
  if (!from) return;
  const to = place(event);
  masks[masks.length - 1] = [
    Math.min(from[0], to[0]), Math.min(from[1], to[1]),
    Math.max(LEAST, Math.abs(to[0] - from[0])), Math.max(LEAST, Math.abs(to[1] - from[1])),
  ];
  drawOver(outline);
}

function end() {
  if (!from) return;
  from = null;
  const [, , width, height] = masks[masks.length - 1];
  if (width <= LEAST && height <= LEAST) masks.pop(); // a click draws nothing
  changed();
}
