"use strict";
// The token of this run is in the fragment, which a browser sends to no server, and then only in this tab.
const STORED = "seic-sandbox-token";
const MOST_CALLS = 200;
const LABELS = {
  "500": "500", "503": "503, Retry-After", "429": "429, Retry-After", "slow": "slow, 5 s", "reset": "reset",
  "truncated": "truncated", "html": "HTML page", "empty": "empty body", "no-expires-in": "no expires_in",
  "error-in-200": "error in a 200", "redirect": "redirect",
};
const byId = (id) => document.getElementById(id);
const calls = new Map();
let tokens = [];
let received = 0;

function takeToken() {
  if (location.hash.length > 1) {
    sessionStorage.setItem(STORED, location.hash.slice(1));
    history.replaceState(null, "", location.pathname);
  }
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function problem(text) {
  byId("problem").hidden = !text;
  byId("cause").textContent = text || "";
}

function headers() {
  return { "Authorization": `Bearer ${sessionStorage.getItem(STORED) || ""}`, "Content-Type": "application/json" };
}

function send(values) {
  return ask("POST", "faults", JSON.stringify(values));
}

async function ask(method, path, body) {
  try {
    const reply = await fetch(path, { method, headers: headers(), body });
    const state = await reply.json();
    problem(reply.ok ? "" : state.error);
  } catch {
    problem("The sandbox has ended.");
  }
}

function makeSwitch(label, isOn, change) {
  const line = element("label", "switch");
  const input = element("input");
  input.type = "checkbox";
  input.setAttribute("role", "switch");
  input.checked = isOn;
  input.addEventListener("change", () => change(input.checked));
  line.append(input, element("span", "", label));
  const item = element("li");
  item.append(line);
  return item;
}

function fill(id, items, empty) {
  const list = byId(id);
  // The switch that has the focus keeps it.
  const focused = [...list.querySelectorAll("input")].indexOf(document.activeElement);
  list.replaceChildren(...(items.length || !empty ? items : [element("li", "empty", empty)]));
  if (focused >= 0) list.querySelectorAll("input")[focused]?.focus();
}

function showFaults(state) {
  for (const target of ["token", "api"]) {
    const active = state.faults.filter((fault) => fault.target === target);
    const names = Object.keys(LABELS).filter((name) => target === "token" || name !== "no-expires-in");
    fill(`${target}-faults`, names.map((name) => {
      const one = active.find((fault) => fault.fault === name);
      const left = one && one.times !== null ? ` (${one.times} left)` : "";
      return makeSwitch(LABELS[name] + left, Boolean(one), (isOn) => (isOn
        ? send({ fault: name, target, times: "always" }) : ask("DELETE", `faults?target=${target}&fault=${name}`)));
    }));
  }
  if (document.activeElement !== byId("skew")) byId("skew").value = state.clock_skew;
  const refused = new Set(state.refused_certificates);
  fill("certificates", state.certificates.map((certificate) => makeSwitch(
    `${certificate.common_name} · ${certificate.thumbprint.slice(0, 8)}`, refused.has(certificate.thumbprint),
    (isOn) => send({
      fault: isOn ? "refuse-certificate" : "accept-certificates", thumbprint: certificate.thumbprint }))));
}

function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return whole >= 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole} s`;
}

function showTokens() {
  const passed = (performance.now() - received) / 1000;
  const alive = tokens.filter((token) => token.seconds_left > passed);
  byId("tokens-count").textContent = alive.length || "";
  fill("tokens", alive.slice(0, 20).map((token) => {
    const left = token.seconds_left - passed;
    const item = element("li", "row");
    const line = element("div", "line");
    line.append(element("code", "", `${token.digest}…`), element("span", "", `${duration(left)} left`));
    const bar = element("progress");
    bar.max = token.lifetime;
    bar.value = left;
    bar.setAttribute("aria-hidden", "true");
    const bound = token.thumbprint ? `bound to certificate ${token.thumbprint.slice(0, 8)}` : "without a certificate";
    item.append(line, bar, element("span", "note", `${token.dialect} · ${bound}`));
    return item;
  }), "No token is active.");
}

function callItem(call) {
  const item = element("li");
  const at = new Date(call.received_at * 1000);
  item.append(element("time", "", at.toLocaleTimeString("en-GB")));
  item.append(element("span", "path", `${call.method} ${call.path}`));
  const status = call.status;
  const kind = status === null ? "idle" : status >= 500 ? "fail" : status >= 400 ? "warn" : "pass";
  item.append(element("span", `status ${kind}`, status === null ? "…" : String(status)));
  const certificate = call.common_name ? `certificate ${call.common_name} · ${call.thumbprint.slice(0, 8)}` : "no certificate";
  const note = element("span", "note", `${call.host} · ${certificate}`);
  if (call.fault) note.append(" · ", element("span", "fault", `fault: ${LABELS[call.fault] || call.fault}`));
  item.append(note);
  return item;
}

function showCall(call) {
  const list = byId("calls");
  const made = callItem(call);
  const before = calls.get(call.number);
  if (before) {
    before.replaceWith(made);
  } else {
    list.querySelector(".empty")?.remove();
    list.prepend(made);
  }
  calls.set(call.number, made);
  if (calls.size > MOST_CALLS) {
    const [oldest] = calls.keys();
    calls.get(oldest).remove();
    calls.delete(oldest);
  }
}

function take(event, data) {
  if (event === "call") {
    showCall(data);
    return;
  }
  tokens = data.tokens;
  received = performance.now();
  byId("api-url").textContent = data.api_url;
  byId("mtls-url").textContent = data.mtls_url;
  showFaults(data);
  showTokens();
}

function clearCalls() {
  calls.clear();
  byId("calls").replaceChildren(element("li", "empty", "No request has arrived yet."));
}

function live(isLive) {
  document.querySelector(".lamp").className = `lamp ${isLive ? "pass" : "idle"}`;
  byId("state").textContent = isLive ? "Running" : "Not connected";
}

async function follow() {
  const reply = await fetch("events", { headers: headers() });
  if (reply.status === 401) {
    problem("Open this page by the URL that the command printed: it has the token of this run.");
    return;
  }
  clearCalls();
  live(true);
  problem("");
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "";;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const found = /^event: (\w+)\ndata: (.*)$/.exec(part);
      if (found) take(found[1], JSON.parse(found[2]));
    }
  }
}

async function main() {
  takeToken();
  window.addEventListener("hashchange", takeToken);
  for (const button of document.querySelectorAll("button[data-fault]")) {
    button.addEventListener("click", () => send({ fault: button.dataset.fault }));
  }
  byId("skew").addEventListener("change", () => send({ fault: "clock-skew", seconds: byId("skew").value || "0" }));
  byId("clear-calls").addEventListener("click", clearCalls);
  setInterval(showTokens, 1000);
  for (;;) {
    await follow().catch(() => problem("The sandbox has ended."));
    live(false);
    await new Promise((done) => setTimeout(done, 1000));
  }
}

main();
