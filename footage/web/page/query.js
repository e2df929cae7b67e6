// The query: words, what must not be there, pictures and clips as editable parts with weights, and filters.

import * as api from "./api.js";
import { button, clock, complain, h, icon, say, set } from "./dom.js";
import { t } from "./words.js";

const WEIGHTS = [0.25, 0.5, 1, 1.5, 2, 3];
const PARTS = 16; // as the server takes at most

export class QueryForm {
  // `query` is the one value that is edited; `onsearch` is called when it should be answered, `act.sent` with each
  // file that is on the server and `act.copies` with a clip of which copies are wanted.
  constructor(onsearch, act) {
    this.onsearch = onsearch;
    this.act = act;
    this.words = h("input", {
      type: "search", class: "words", placeholder: t("placeholder"), "aria-label": t("placeholder"), maxlength: 2000,
      autocomplete: "off", enterkeyhint: "search", oninput: () => this.typed(),
    });
    this.not = h("input", {
      type: "text", class: "not", placeholder: t("not"), "aria-label": t("notLabel"), maxlength: 2000, autocomplete: "off",
      enterkeyhint: "search", oninput: () => this.typed(),
    });
    this.file = h("input", {
      type: "file", accept: "image/*,video/*", multiple: true, hidden: true, "aria-label": t("addFile"),
      onchange: () => this.addFiles([...this.file.files]).then(() => (this.file.value = "")),
    });
    this.filtersButton = button("tune", t("filters"), () => this.toggleFilters(), { "aria-expanded": "false" });
    this.parts = h("ul", { class: "parts" });
    this.filters = h("div", { class: "filters", hidden: true });
    this.folders = h("datalist", { id: "footage-folders" });
    this.element = h(
      "form", { class: "query", role: "search", novalidate: true, onsubmit: (event) => this.submit(event) },
      h("div", { class: "bar" },
        h("span", { class: "magnifier" }, icon("search")), this.words, this.not,
        button("more", t("addWords"), () => this.addWords(), { class: "icon add-words" }),
        button("picture", t("addFile"), () => this.file.click()), this.filtersButton,
        h("button", { class: "go" }, t("search")), this.file),
      this.parts, this.filters, this.folders,
    );
    this.inputs = this.makeFilters();
  }

  makeFilters() {
    const field = (name, props) => {
      const input = h("input", { name, ...props, onchange: () => this.filtered() });
      this.filters.append(h("label", {}, t(name), input));
      return input;
    };
    const all = {
      folder: field("folder", { type: "text", list: "footage-folders", maxlength: 500, autocomplete: "off" }),
      after: field("after", { type: "date" }),
      before: field("before", { type: "date" }),
      min: field("min", { type: "number", min: 0, step: "any", inputmode: "decimal" }),
      max: field("max", { type: "number", min: 0, step: "any", inputmode: "decimal" }),
    };
    this.filters.append(h("button", { type: "button", class: "quiet", onclick: () => this.clearFilters() }, t("clear")));
    return all;
  }

  show(query) {
    this.query = query;
    this.words.value = query.words;
    this.not.value = query.not;
    for (const [name, input] of Object.entries(this.inputs)) input.value = query.where[name] || "";
    if (Object.keys(query.where).length) this.toggleFilters(true);
    this.mark();
    this.showParts();
  }

  focus() {
    this.words.focus();
    this.words.select();
  }

  suggestFolders(paths) {
    this.folders.replaceChildren(...paths.map((path) => h("option", { value: path })));
  }

  typed() {
    this.query.words = this.words.value;
    this.query.not = this.not.value;
  }

  submit(event) {
    event.preventDefault();
    this.typed();
    this.onsearch();
  }

  toggleFilters(open = this.filters.hidden) {
    this.filters.hidden = !open;
    this.filtersButton.setAttribute("aria-expanded", String(open));
  }

  filtered() {
    const where = {};
    for (const [name, input] of Object.entries(this.inputs)) {
      if (input.value.trim() && input.checkValidity()) where[name] = input.value.trim();
    }
    this.query.where = where;
    this.mark();
    this.onsearch();
  }

  clearFilters() {
    for (const input of Object.values(this.inputs)) input.value = "";
    this.filtered();
  }

  mark() {
    this.filtersButton.classList.toggle("active", Object.keys(this.query.where).length > 0);
  }

  // ------------------------------------------------------------------------------------------------------- parts

  add(part, search = true) {
    if (this.query.parts.length >= PARTS) return;
    this.query.parts.push({ weight: 1, ...part });
    this.showParts();
    if (search) this.onsearch();
  }

  addWords() {
    const value = this.words.value.trim();
    if (!value) return this.words.focus();
    this.words.value = "";
    this.typed();
    this.add({ kind: "text", value }, false);
    this.words.focus();
  }

  async addFiles(files) {
    if (!files.length) return;
    this.element.classList.add("busy");
    try {
      const sent = await api.upload("/query-files", files.slice(0, 8));
      for (const [n, file] of sent.files.entries()) this.act.sent(file.id, files[n]);
      for (const file of sent.files) this.add({ kind: file.kind, upload: file.id, name: file.name }, false);
      this.onsearch();
    } catch (error) {
      complain(error);
    } finally {
      this.element.classList.remove("busy");
    }
  }

  async checkUploads() {
    // Those that a link names may be gone by now: they live for an hour after their last use.
    const kept = await Promise.all(
      this.query.parts.map((part) => !part.upload || api.get(`/query-files/${part.upload}`).then(() => true, () => false)),
    );
    if (kept.every(Boolean)) return;
    this.query.parts = this.query.parts.filter((_, number) => kept[number]);
    this.showParts();
    say(t("gonePart"), "bad");
  }

  showParts() {
    const rows = this.query.parts.map((part) => this.chip(part));
    if (rows.length && this.query.words.trim()) rows.unshift(this.wordsChip());
    this.parts.replaceChildren(...rows);
    this.parts.hidden = rows.length === 0;
  }

  wordsChip() {
    const change = (step) => {
      this.query.weight = stepped(this.query.weight, step);
      this.showParts();
      this.onsearch();
    };
    return h("li", { class: "part" },
      h("span", { class: "what" }, `“${this.query.words.trim()}”`),
      weightControl(t("wordsWeight"), this.query.weight, change));
  }

  chip(part) {
    const what = describe(part);
    const negative = part.weight < 0;
    const change = (step) => {
      part.weight = Math.sign(part.weight) * stepped(Math.abs(part.weight), step);
      this.changed();
    };
    const turn = () => {
      part.weight = -part.weight;
      this.changed();
    };
    const remove = () => {
      this.query.parts = this.query.parts.filter((other) => other !== part);
      this.changed();
    };
    return h("li", { class: negative ? "part negative" : "part" },
      picture(part),
      h("button", { type: "button", class: "sign", title: t("turn"), onclick: turn }, t(negative ? "unlikeThis" : "likeThis")),
      h("span", { class: "what", title: what }, what),
      part.kind === "video" && button("copies", t("findCopies"), () => this.act.copies(part)),
      weightControl(`${t("weight")}: ${what}`, Math.abs(part.weight), change),
      button("close", t("removePart", { what }), remove));
  }

  changed() {
    this.showParts();
    this.onsearch();
  }
}

function stepped(weight, step) {
  const nearest = WEIGHTS.reduce((best, w, n) => (Math.abs(w - weight) < Math.abs(WEIGHTS[best] - weight) ? n : best), 0);
  return WEIGHTS[Math.max(0, Math.min(WEIGHTS.length - 1, nearest + step))];
}

function weightControl(label, weight, change) {
  return h("span", { class: "weight", role: "group", "aria-label": label },
    button("less", t("lighter"), () => change(-1)),
    h("output", {}, `×${weight}`),
    button("more", t("heavier"), () => change(1)));
}

function describe(part) {
  if (part.value) return `“${part.value}”`;
  if (part.upload) return part.name;
  const { at, start, end, box } = part.moment;
  if (part.kind === "video") return `${clock(start)} – ${clock(end)}`;
  return box ? `${t("region")}, ${clock(at, 1)}` : clock(at, 1);
}

function picture(part) {
  if (part.value) return null;
  const { moment, upload } = part;
  const url = upload ? api.uploadFrameUrl(upload) : api.frameUrl(moment.video, moment.at ?? moment.start);
  const image = h("span", { class: "part-picture", role: "img", "aria-label": t(`part.${part.kind}`) });
  set(image, { style: { "background-image": `url("${url}")` } });
  if (moment && moment.box) {
    const { x, y, w, h: height } = moment.box;
    const place = (offset, size) => (size < 1 ? (100 * offset) / (1 - size) : 0);
    set(image, {
      style: {
        "background-size": `${100 / w}% ${100 / height}%`,
        "background-position": `${place(x, w)}% ${place(y, height)}%`,
      },
    });
  }
  return image;
}
