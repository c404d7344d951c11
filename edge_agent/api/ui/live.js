// The live picture with an overlay of motion or entropy, its numbers, and the level of the sound lately.

import { read, request } from "/ui/device.js";
import { colour, fit, numbers, words } from "/ui/draw.js";

const canvas = document.getElementById("picture");
const QUIET_DB = -90;
const FULL_BITS = 8;
const FULL_DIFFERENCE = 40;
let overlay = "none";
let tag = "";
let bitmap = null;
let now = {};
let extra = () => {};

export function drawOver(draw) {
  extra = draw;
  paint();
}

export function show(name) {
  overlay = name;
  for (const button of document.querySelectorAll("[data-overlay]")) {
    button.setAttribute("aria-pressed", String(button.dataset.overlay === name));
  }
  paint();
}

export async function refresh() {
  now = await read("/edge/v1/now");
  status();
  if (now.watching && now.frame > 0 && now.frame_age_s !== null) {
    const response = await request("/edge/v1/frame.jpg", { headers: tag ? { "If-None-Match": tag } : {} });
    if (response.status === 200) {
      tag = response.headers.get("ETag");
      const fresh = await createImageBitmap(await response.blob());
      bitmap?.close();
      bitmap = fresh;
      if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
        [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
      }
    }
  }
  document.getElementById("no-picture").hidden = bitmap !== null;
  paint();
  features();
  sound();
}

export function failed(error) {
  const pill = document.getElementById("status");
  pill.textContent = `no connection: ${error.message}`;
  pill.className = "pill none";
}

function status() {
  const pill = document.getElementById("status");
  pill.textContent = now.ready ? "ready" : now.reasons.join("; ");
  pill.className = now.ready ? "pill local" : "pill none";
  const kept = now.private ? "; private: nothing leaves the device" : "";
  const faces = now.blurs_faces ? "; faces are blurred, as far as they are found" : "";
  document.getElementById("about").textContent = `${now.model} by ${now.policy}, watching ${now.source}${kept}${faces}`;
}

function paint() {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (bitmap) context.drawImage(bitmap, 0, 0);
  if (overlay === "entropy" && now.image) tiles(context, now.image.tiles, FULL_BITS, [40, 120, 255]);
  if (overlay === "motion" && now.motion) tiles(context, now.motion.tiles, FULL_DIFFERENCE, [255, 90, 40]);
  extra(context);
}

function tiles(context, map, full, [red, green, blue]) {
  const [height, width] = [canvas.height / map.length, canvas.width / (map[0]?.length || 1)];
  map.forEach((row, y) => row.forEach((value, x) => {
    context.fillStyle = `rgba(${red}, ${green}, ${blue}, ${0.75 * Math.min(1, value / full)})`;
    context.fillRect(x * width, y * height, width, height);
  }));
}

function features() {
  const rows = [];
  if (now.image) {
    rows.push(["picture", `${now.image.width} × ${now.image.height}`]);
    rows.push(["entropy", `${now.image.entropy_bits.toFixed(2)} bits`]);
    rows.push(["edges", `${(100 * now.image.edge_density).toFixed(1)} %`]);
  }
  if (now.motion) rows.push(["changed", `${(100 * now.motion.changed_share).toFixed(1)} %`]);
  if (now.sound) rows.push(["sound", words.level(now.sound.energy)]);
  if (now.frame_age_s !== null && now.frame_age_s > 2) rows.push(["last picture", `${now.frame_age_s.toFixed(0)} s ago`]);
  numbers(document.getElementById("features"), rows);
}

function sound() {
  const plot = document.getElementById("sound");
  plot.hidden = !now.sound;
  if (!now.sound) return;
  const [context, width, height] = fit(plot);
  const step = width / now.sound.most;
  context.fillStyle = colour("cloud");
  now.sound.levels_db.forEach((level, at) => {
    const tall = Math.max(1, (1 - level / QUIET_DB) * height);
    context.fillRect(at * step, height - tall, Math.max(1, step - 1), tall);
  });
}
