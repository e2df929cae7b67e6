// Elements without a framework: text always goes in as text, so no name or message can become markup.

export function h(tag, props = {}, ...children) {
  const el = document.createElement(tag);
  set(el, props);
  el.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return el;
}

export function set(el, props) {
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, part] of Object.entries(value)) el.style.setProperty(key, part);
    else if (name === "dataset") Object.assign(el.dataset, value);
    else if (value === false || value === null || value === undefined) el.removeAttribute(name);
    else if (value === true) el.setAttribute(name, "");
    else if (name === "value" || name === "checked" || name === "textContent" || name === "hidden") el[name] = value;
    else el.setAttribute(name, value);
  }
  return el;
}

const PATHS = {
  search: "M10.5 4a6.5 6.5 0 1 0 4 11.6l4.4 4.4 1.1-1.1-4.4-4.4A6.5 6.5 0 0 0 10.5 4zm0 1.6a4.9 4.9 0 1 1 0 9.8 4.9 4.9 0 0 1 0-9.8z",
  picture: "M4 5h16v14H4zm1.6 1.6v8l3.4-3.8 3.2 3.4 2.4-2.2 3.8 3.6v-9zM15.5 8a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3z",
  close: "M6.2 5 12 10.8 17.8 5 19 6.2 13.2 12l5.8 5.8-1.2 1.2-5.8-5.8L6.2 19 5 17.8l5.8-5.8L5 6.2z",
  more: "M11.2 5h1.6v6.2H19v1.6h-6.2V19h-1.6v-6.2H5v-1.6h6.2z",
  less: "M5 11.2h14v1.6H5z",
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M7.5 5.5h3v13h-3zm6 0h3v13h-3z",
  next: "M6.5 5.5 15 12l-8.500 6.500zM16 5.500h2v13h-2z",
  previous: "M17.500 5.500 9 12l8.500 6.500zM6 5.500h2v13H6z",
  sound: "M4 9.500h3.500L12 5.500v13l-4.500-4H4zm10.500-.8a4.500 4.500 0 0 1 0 6.600l1.100 1.100a6 6 0 0 0 0-8.800z",
  mute: "M4 9.500h3.500L12 5.500v13l-4.500-4H4zm10.300.2 1-1 2 2 2-2 1 1-2 2 2 2-1 1-2-2-2 2-1-1 2-2z",
  full: "M5 5h5v1.600H6.600V10H5zm9 0h5v5h-1.600V6.600H14zM5 14h1.600v3.400H10V19H5zm12.400 0H19v5h-5v-1.600h3.400z",
  box: "M5 5h3v1.600H6.600V8H5zm11 0h3v3h-1.600V6.600H16zM5 16h1.600v1.400H8V19H5zm12.400 0H19v3h-3v-1.600h1.400zM10 5h4v1.600h-4zm0 12.400h4V19h-4zM5 10h1.600v4H5zm12.400 0H19v4h-1.600z",
  loop: "M7 7h9.200l-2-2 1.100-1.100 4 4-4 4-1.100-1.200 2-2H8.600v3H7zm10 10H7.800l2 2-1.100 1.100-4-4 4-4 1.100 1.200-2 2h7.600v-3H17z",
  link: "M10.600 13.400a3.600 3.600 0 0 1 0-5.100l2.500-2.500a3.600 3.600 0 1 1 5.100 5.100l-1.500 1.500-1.100-1.100 1.500-1.500a2 2 0 1 0-2.900-2.900l-2.500 2.500a2 2 0 0 0 0 2.900zm2.800-2.800a3.600 3.600 0 0 1 0 5.100l-2.500 2.500a3.600 3.600 0 1 1-5.100-5.100l1.500-1.500 1.100 1.100-1.500 1.500a2 2 0 1 0 2.900 2.900l2.500-2.500a2 2 0 0 0 0-2.900z",
  save: "M11.200 4h1.600v8l2.900-2.900 1.100 1.100-4.800 4.800-4.800-4.800 1.100-1.100 2.900 2.900zM5 17.400h14V19H5z",
  folder: "M4 6h6l1.600 2H20v11H4zm1.600 1.600v9.800h12.800V9.600h-7.600l-1.600-2z",
  tune: "M4 7.200h9v1.600H4zm13 0h3v1.600h-3zM14 5.500h2v5h-2zM4 15.200h3v1.600H4zm7 0h9v1.600h-9zM8 13.500h2v5H8z",
  bin: "M9 4h6v1.600h4v1.600H5V5.600h4zM6.500 8.500h11L16.600 20H7.400zm1.700 1.600.6 8.300h6.400l.6-8.300z",
  copies: "M4 4h11v3.500h-1.600V5.600H5.600v7.800h1.900V15H4zm5 5h11v11H9zm1.600 1.600v7.800h7.800v-7.800z",
  good: "M4 11h3v8H4zm4.500 8V11l4-7c1.300.2 2 1 1.700 2.500L13.500 10H19c1 0 1.600.9 1.400 1.800l-1.500 6c-.2.800-.8 1.200-1.500 1.200z",
  wrong: "M20 13h-3V5h3zm-4.500-8v8l-4 7c-1.300-.2-2-1-1.700-2.500l.7-3.500H5c-1 0-1.600-.9-1.400-1.800l1.500-6c.2-.8.8-1.200 1.500-1.200z",
  flip: "M11.200 4h1.600v16h-1.600zM9.500 7v10H3zm-1.600 5.300L6 15.400h1.900zM14.500 7v10H21z",
  arrow: "M5 11.200h10.900l-3.500-3.500 1.100-1.100 5.400 5.400-5.400 5.400-1.100-1.100 3.500-3.500H5z",
  help: "M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16zm0 1.600a6.400 6.400 0 1 0 0 12.800 6.400 6.400 0 0 0 0-12.800zm-.8 9h1.600v1.600h-1.600zM12 7.600c1.700 0 2.900 1 2.900 2.500 0 2-2.100 2-2.100 3.500h-1.600c0-2.400 2.100-2.300 2.100-3.500 0-.6-.5-1-1.300-1-.8 0-1.400.5-1.400 1.300H9c0-1.700 1.300-2.800 3-2.800z",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

export function button(name, label, onclick, props = {}) {
  return h("button", { type: "button", class: "icon", title: label, "aria-label": label, onclick, ...props }, icon(name));
}

export function clock(seconds, digits = 0) {
  const factor = 10 ** digits;
  const all = Math.floor(seconds * factor + 1e-6) / factor;
  const hours = Math.floor(all / 3600);
  const minutes = Math.floor((all % 3600) / 60);
  const rest = (all % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export function bytes(count) {
  const step = count ? Math.min(4, Math.floor(Math.log2(count) / 10)) : 0;
  return `${(count / 1024 ** step).toFixed(step && count / 1024 ** step < 10 ? 1 : 0)} ${["B", "KB", "MB", "GB", "TB"][step]}`;
}

let live = null;

export function say(message, kind = "") {
  // Shown for some seconds and read out by screen readers.
  if (live === null || !live.isConnected) {
    live = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
    (document.querySelector(".footage") || document.body).append(live);
  }
  const note = h("div", { class: `toast ${kind}` }, message);
  live.append(note);
  while (live.children.length > 3) live.firstChild.remove();
  setTimeout(() => note.remove(), kind === "bad" ? 9000 : 4000);
}

export function complain(error) {
  if (error.name === "AbortError") return;
  say(error.hint ? `${error.message}. ${error.hint}` : error.message, "bad");
}
