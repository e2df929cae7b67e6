// The REST API as functions. Every one throws an error with `message`, `hint`, `status` and `retry`.

import { t } from "./words.js";

const ROOT = "/api/v1";

async function ask(method, path, { json, form, signal, kind = "json" } = {}) {
  const headers = json === undefined ? {} : { "content-type": "application/json" };
  if (kind === "events") headers.accept = "text/event-stream";
  const body = json === undefined ? form : JSON.stringify(json);
  let answer;
  try {
    answer = await fetch(ROOT + path, { method, headers, body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw Object.assign(new Error(t("away")), { hint: "", status: 0, retry: true });
  }
  if (!answer.ok) throw await refusal(answer.status, answer);
  if (kind === "answer" || kind === "events") return answer;
  return answer.status === 204 ? null : answer.json();
}

async function refusal(status, answer) {
  if (status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  let told = {};
  try {
    told = await answer.json();
  } catch {
    // not one of ours: the status has to do
  }
  const message = told.message || `HTTP ${status}`;
  return Object.assign(new Error(message), { hint: told.hint || "", status, retry: told.retry === true });
}

export const get = (path, options) => ask("GET", path, options);
export const post = (path, json, options) => ask("POST", path, { json, ...options });
export async function watch(path, json, onprogress, options) {
  // A POST that tells how far it is, and answers at the end of a stream of events.
  const answer = await ask("POST", path, { json, kind: "events", ...options });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw Object.assign(new Error(t("away")), { hint: "", status: 0, retry: true });
    const events = (held + value).split("\n\n");
    held = events.pop();
    for (const event of events) {
      const [, kind, data] = event.match(/^event: (\w+)\ndata: ([^]*)$/) || [];
      if (kind === "progress") onprogress(JSON.parse(data));
      if (kind === "answer") return JSON.parse(data);
      if (kind === "error") {
        const told = JSON.parse(data);
        throw Object.assign(new Error(told.message), { hint: told.hint || "", status: told.error === "NotFound" ? 404 : 500, retry: told.retry });
      }
    }
  }
}
export const remove = (path) => ask("DELETE", path);

export function upload(path, files, onprogress = () => {}) {
  // XMLHttpRequest, because fetch does not tell how much was sent.
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", ROOT + path);
    request.upload.onprogress = (event) => onprogress(event.lengthComputable ? event.loaded / event.total : 0);
    request.onload = async () => {
      if (request.status < 300) resolve(JSON.parse(request.responseText));
      else reject(await refusal(request.status, { json: async () => JSON.parse(request.responseText) }));
    };
    request.onerror = () => reject(Object.assign(new Error(t("away")), { hint: "", status: 0, retry: true }));
    request.send(form);
  });
}

export function follow(job, onchange) {
  // Server-sent events; returns how to stop.
  const events = new EventSource(`${ROOT}/jobs/${job}/events`);
  events.addEventListener("progress", (event) => onchange(JSON.parse(event.data)));
  events.addEventListener("end", (event) => {
    events.close();
    onchange(JSON.parse(event.data));
  });
  return () => events.close();
}

export async function download(path, json) {
  // Save the answer of a POST as a file, under the name that the server gives it.
  const answer = await ask("POST", path, { json, kind: "answer" });
  const told = answer.headers.get("content-disposition") || "";
  const wide = told.match(/filename\*=UTF-8''([^;]+)/i);
  const plain = told.match(/filename="([^"]*)"/i);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = wide ? decodeURIComponent(wide[1]) : plain ? plain[1] : "footage";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return answer;
}

export const frameUrl = (video, at) => `${ROOT}/videos/${video}/frame?at=${at.toFixed(3)}`;
export const fullFrameUrl = (video, at) =>
  `${ROOT}/videos/${video}/frame?at=${at.toFixed(3)}&full=1&download=1&format=png`;
export const clipUrl = (video, start, end, mode) =>
  `${ROOT}/videos/${video}/clip?start=${start.toFixed(3)}&end=${end.toFixed(3)}&mode=${mode}`;
export const uploadFrameUrl = (id) => `${ROOT}/query-files/${id}/frame`;
export const streamUrl = (video) => `${ROOT}/videos/${video}/stream`;
export const renditionUrl = (video, start, end) =>
  `${ROOT}/videos/${video}/rendition?start=${start.toFixed(3)}&end=${end.toFixed(3)}&height=720`;
export const storyboardPath = (video, start, end, limit) =>
  `/videos/${video}/storyboard?start=${start.toFixed(3)}&end=${end.toFixed(3)}&limit=${limit}`;
export const storyboardUrl = (...range) => ROOT + storyboardPath(...range);
