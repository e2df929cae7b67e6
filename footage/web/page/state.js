// What is asked for, as one value; and its two other forms: the address of the page and the body of a request.

export const empty = () => ({ words: "", weight: 1, not: "", parts: [], where: {}, shown: null, view: "search", copies: noCopies() });

// Copies of what: {upload, name} or {moment: {video, start, end}}, or `within` the library; `shown` is the number of the match beside it.
export const noCopies = () => ({ source: null, sound: false, folder: "", within: false, shown: -1 });

// A part beside the words: {kind: text|image|video, weight, and one of value, upload + name, moment}.

const KINDS = { text: "t", image: "i", video: "v" };
const DAY = /^\d{4}(-\d\d(-\d\d)?)?$/;
const NUMBER = /^\d+(\.\d+)?$/;
const FILTERS = { folder: /./s, after: DAY, before: DAY, min: NUMBER, max: NUMBER };

export function isEmpty(query) {
  return !query.words.trim() && !query.not.trim() && query.parts.length === 0;
}

export function toAddress(query) {
  const out = new URLSearchParams();
  if (query.view !== "search") out.set("view", query.view);
  if (query.words.trim()) out.set("q", query.words.trim());
  if (query.weight !== 1) out.set("w", query.weight);
  if (query.not.trim()) out.set("not", query.not.trim());
  for (const part of query.parts) out.append("p", partToText(part));
  for (const name of Object.keys(FILTERS)) if (query.where[name]) out.set(name, query.where[name]);
  if (query.copies.source || query.copies.within) copiesToAddress(query.copies, out);
  if (query.shown) {
    const { video, start, end, at } = query.shown;
    out.set("m", `${video}@${short(start)}-${short(end)}-${short(at)}`);
  }
  const text = out.toString();
  return text ? `?${text}` : location.pathname;
}

export function fromAddress(text) {
  const given = new URLSearchParams(text);
  const query = empty();
  query.view = ["library", "copies"].includes(given.get("view")) ? given.get("view") : "search";
  query.copies = copiesFromAddress(given);
  query.words = given.get("q") || "";
  query.weight = weightOf(given.get("w") ?? "1");
  query.not = given.get("not") || "";
  query.parts = given.getAll("p").map(partFromText).filter(Boolean).slice(0, 16);
  for (const [name, form] of Object.entries(FILTERS)) {
    const value = given.get(name) || "";
    if (form.test(value)) query.where[name] = value;
  }
  const shown = (given.get("m") || "").match(/^([0-9a-f]{4,64})@([\d.]+)-([\d.]+)-([\d.]+)$/);
  if (shown) query.shown = { video: shown[1], start: +shown[2], end: +shown[3], at: +shown[4] };
  return query;
}

function copiesToAddress({ source, sound, folder, within, shown }, out) {
  const { upload, name, moment } = source || {};
  if (within) out.set("c", "library");
  else out.set("c", upload ? `*${upload}:${name}` : `${moment.video}@${short(moment.start)}-${short(moment.end)}`);
  if (sound) out.set("sound", 1);
  if (folder) out.set("in", folder);
  if (shown >= 0) out.set("n", shown);
}

function copiesFromAddress(given) {
  const copies = noCopies();
  const text = given.get("c") || "";
  const upload = text.match(/^\*([\w-]{1,64}):(.*)$/s);
  const range = text.match(/^([0-9a-f]{4,64})@([\d.]+)-([\d.]+)$/);
  if (upload) copies.source = { upload: upload[1], name: upload[2] };
  else if (range && +range[2] < +range[3]) copies.source = { moment: { video: range[1], start: +range[2], end: +range[3] } };
  else if (text === "library") copies.within = true;
  else return copies;
  copies.sound = given.get("sound") === "1";
  copies.folder = given.get("in") || "";
  if (/^\d{1,3}$/.test(given.get("n") || "")) copies.shown = +given.get("n");
  return copies;
}

export function toRequest(query) {
  const parts = [];
  if (query.words.trim()) parts.push({ kind: "text", value: query.words.trim(), weight: query.weight });
  if (query.not.trim()) parts.push({ kind: "text", value: query.not.trim(), weight: -1 });
  for (const { kind, weight, value, upload, moment } of query.parts) {
    parts.push({ kind, weight, ...(value ? { value } : upload ? { upload } : { moment }) });
  }
  const { folder, after, before, min, max } = query.where;
  const where = {
    ...(folder && { folders: [folder] }),
    ...(after && { after }),
    ...(before && { before }),
    ...(min && { min_duration: 60 * min }),
    ...(max && { max_duration: 60 * max }),
  };
  return { parts, where };
}

const short = (seconds) => String(Math.round(seconds * 1000) / 1000);

function weightOf(text) {
  const weight = Number(text);
  return Number.isFinite(weight) && Math.abs(weight) <= 100 && weight !== 0 ? weight : 1;
}

function partToText(part) {
  const head = `${KINDS[part.kind]}:${part.weight}:`;
  if (part.value) return `${head}=${part.value}`;
  if (part.upload) return `${head}*${part.upload}:${part.name}`;
  const { video, at, box, start, end } = part.moment;
  const range = part.kind === "image" ? short(at) : `${short(start)}-${short(end)}`;
  return `${head}${video}@${range}${box ? `!${[box.x, box.y, box.w, box.h].map(short).join(",")}` : ""}`;
}

function partFromText(text) {
  const found = text.match(/^([tiv]):(-?[\d.]+):(.+)$/s);
  if (!found) return null;
  const [kind] = Object.entries(KINDS).find(([, letter]) => letter === found[1]);
  const weight = weightOf(found[2]);
  const rest = found[3];
  if (kind === "text") return rest[0] === "=" && rest.length > 1 ? { kind, weight, value: rest.slice(1) } : null;
  const upload = rest.match(/^\*([\w-]{1,64}):(.*)$/s);
  if (upload) return { kind, weight, upload: upload[1], name: upload[2] };
  const moment = rest.match(/^([0-9a-f]{4,64})@([\d.]+)(?:-([\d.]+))?(?:!([\d.]+),([\d.]+),([\d.]+),([\d.]+))?$/);
  if (!moment || (kind === "video") !== (moment[3] !== undefined) || +moment[3] <= +moment[2]) return null;
  const [, video, first, last, x, y, w, hgt] = moment;
  if (kind === "video") return { kind, weight, moment: { video, start: +first, end: +last } };
  return { kind, weight, moment: { video, at: +first, ...(x && { box: { x: +x, y: +y, w: +w, h: +hgt } }) } };
}
