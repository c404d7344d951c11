// Starts the parts of the page and the keys.

import * as ask from "/ui/ask.js";
import { repeat } from "/ui/device.js";
import * as live from "/ui/live.js";
import * as masks from "/ui/masks.js";
import * as records from "/ui/records.js";

const KEYS = {
  "/": () => document.getElementById("question").focus(),
  1: () => live.show("none"),
  2: () => live.show("motion"),
  3: () => live.show("entropy"),
  m: () => masks.toggle(),
};

for (const button of document.querySelectorAll("[data-overlay]")) {
  button.addEventListener("click", () => live.show(button.dataset.overlay));
}
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey;
  if (typing || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
});
ask.start();
masks.start();
repeat(live.refresh, 250, live.failed);
repeat(records.refresh, 1000);
repeat(ask.foresee, 2000);
