// The ask box, answered word by word as any OpenAI client is; and what the policy would do with that question now.

import { read, write } from "/ui/device.js";
import { numbers, words } from "/ui/draw.js";

const field = document.getElementById("question");
const answer = document.getElementById("answer");
const how = document.getElementById("how");

export function start() {
  document.getElementById("ask").addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = document.getElementById("ask-button");
    button.disabled = true;
    answer.className = how.textContent = answer.textContent = "";
    try {
      await ask(field.value.trim());
    } catch (error) {
      answer.textContent = error.message;
      answer.className = "none";
    }
    button.disabled = false;
    field.focus();
  });
}

async function ask(question) {
  const response = await write("POST", "/v1/chat/completions", {
    model: "edge-agent",
    messages: [{ role: "user", content: question }],
    stream: true,
    edge: {
      prefer: document.getElementById("prefer").value,
      privacy: document.getElementById("private").checked ? "private" : "default",
      provisional: true,
    },
  });
  for await (const chunk of events(response.body)) {
    if (chunk.error) throw new Error(chunk.error.message);
    if (chunk.provisional !== undefined) {  // of the device, while the cloud is asked: no word of the answer
      answer.textContent = `provisional: ${chunk.provisional}`;
      answer.className = "none";
      continue;
    }
    const said = chunk.choices[0]?.delta?.content ?? "";
    if (answer.className && (said || chunk.edge)) answer.className = answer.textContent = "";
    answer.textContent += said;
    if (chunk.edge) tell(chunk.edge);
  }
  if (!answer.textContent) answer.textContent = "(no words)";
}

function tell(edge) {
  const figures = [
    words.route[edge.route], words.ms(edge.timings_ms.total), `${words.bytes(edge.bytes_up)} up`,
    `${edge.cost_usd.toFixed(6)} USD`, `confidence ${edge.confidence.toFixed(2)}`, `about ${edge.about}`,
  ];
  how.textContent = `${figures.join(", ")}. ${edge.reason}`;
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const data = line.startsWith("data: ") ? line.slice(6) : "";
      if (data && data !== "[DONE]") yield JSON.parse(data);
    }
  }
}

export async function foresee() {
  const [route, why] = [document.getElementById("route"), document.getElementById("why")];
  let told;
  try {
    const question = field.value.trim();
    told = await read(`/edge/v1/decision${question ? `?question=${encodeURIComponent(question)}` : ""}`);
  } catch (error) {
    [route.textContent, route.className, why.textContent] = ["?", "pill", error.message];
    numbers(document.getElementById("expected"), []);
    return;
  }
  const { decision, state } = told;
  route.textContent = words.route[decision.route];
  route.className = `pill ${decision.route}`;
  why.textContent = `“${told.question}”: ${decision.reason}`;
  const rows = [];
  const add = (name, value, put) => value !== null && value !== undefined && rows.push([name, put(value)]);
  add("expected", decision.predicted_latency_ms, words.ms);
  add("upload", decision.predicted_bytes, words.bytes);
  add("price", decision.predicted_cost_usd, (usd) => `${usd.toFixed(6)} USD`);
  add("left today", state.budget_left_usd, (usd) => `${usd.toFixed(4)} USD`);
  add("load", state.edge_load, (share) => `${(100 * share).toFixed(0)} %`);
  add("heat", state.temperature_celsius, (heat) => `${heat.toFixed(0)} °C`);
  add("uplink", state.uplink_mbps, (rate) => `${rate.toFixed(1)} Mbit/s`);
  numbers(document.getElementById("expected"), rows);
}
