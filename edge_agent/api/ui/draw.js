// Small things that several parts of the page draw with.

// A canvas' context with as many pixels as the screen shows, cleared: [context, width, height] in CSS pixels.
export function fit(canvas) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return [context, width, height];
}

// Pairs of a name and a value into a <dl>.
export function numbers(list, rows) {
  list.replaceChildren(...rows.map(([name, value]) => {
    const group = document.createElement("div");
    const [term, told] = [document.createElement("dt"), document.createElement("dd")];
    [term.textContent, told.textContent] = [name, value];
    group.append(term, told);
    return group;
  }));
}

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
}

export const words = {
  level: (energy) => (energy > 0 ? `${(10 * Math.log10(energy)).toFixed(0)} dB` : "silence"),
  ms: (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${ms.toFixed(0)} ms`),
  bytes: (bytes) => (bytes >= 10000 ? `${(bytes / 1000).toFixed(0)} kB` : `${bytes} B`),
  route: { local: "device", cloud: "cloud", cascade: "draft here, cloud if unsure" },
};
