// Copies: which seconds of a clip are which seconds of the library's videos, as a list of matches.

import * as api from "./api.js";
import { bytes, clock, complain, h, icon, say, set } from "./dom.js";
import { t } from "./words.js";

const tenth = (seconds) => clock(seconds + 0.05, 1); // rounded
const LONGEST = 600; // seconds of a clip that the server looks for at a time
const AROUND = 20; // seconds before and behind a match of a longer video that are taken for the clip

export class CopiesView {
  // `act` has changed() (what is asked is another), compare(number) and file(upload) (the file behind it, if it is here).
  constructor(act) {
    this.act = act;
    this.picture = h("span", { class: "clip-picture" });
    this.name = h("strong", {});
    this.about = h("span", { class: "about" });
    this.file = h("input", {
      type: "file", accept: "video/*,.mkv,.avi,.mov,.ts", hidden: true, "aria-label": t("chooseClip"),
      onchange: () => this.take([...this.file.files]).then(() => (this.file.value = "")),
    });
    this.sound = h("input", { type: "checkbox", onchange: () => this.refine({ sound: this.sound.checked }) });
    this.folder = h("input", {
      type: "text", list: "footage-folders", maxlength: 500, autocomplete: "off", placeholder: t("folder"), "aria-label": t("folder"),
      onchange: () => this.refine({ folder: this.folder.value.trim() }),
    });
    this.whole = h("button", { type: "button", class: "quiet", onclick: () => this.refine({ source: null, within: true }) }, t("withinLibrary"));
    this.stop = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.running?.abort() }, t("cancel"));
    this.again = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.ask("within", true) }, t("compareAgain"));
    this.bar = h("progress", { max: 1, hidden: true, "aria-label": t("howFar") });
    this.status = h("p", { class: "answer", role: "status", "aria-live": "polite" });
    this.list = h("ol", { class: "matches" });
    this.groups = h("div", { class: "copy-groups" });
    this.clip = h("div", { class: "clip", hidden: true }, this.picture, h("div", { class: "what" }, this.name, this.about));
    this.element = h("section", { class: "copies", hidden: true, "aria-label": t("copies") },
      h("div", { class: "asked" }, this.clip,
        h("button", { type: "button", class: "go", onclick: () => this.file.click() }, t("chooseClip")), this.file,
        h("label", { class: "check" }, this.sound, t("onlyHeard")), this.folder, this.whole, this.again, this.stop),
      this.intro = h("p", { class: "hint" }, t("copiesHint")), this.status, this.bar, this.list, this.groups);
    for (const list of [this.list, this.groups]) list.addEventListener("keydown", (event) => this.key(event));
    this.clear();
  }

  clear() {
    this.running?.abort();
    this.again.hidden = true;
    this.answer = null;
    this.asked = "";
    this.rows = [];
    this.current = -1;
    this.list.replaceChildren();
    this.groups.replaceChildren();
    this.status.replaceChildren();
  }

  // ---------------------------------------------------------------------------------------------------- what is asked

  async show(copies) {
    // Ask what the address says, unless it was answered already.
    this.query = copies;
    this.sound.checked = copies.sound;
    this.folder.value = copies.folder;
    this.showClip();
    if (copies.within) return this.asked === "within" ? undefined : this.ask("within");
    if (!copies.source) return this.clear();
    const asked = JSON.stringify(toRequest(copies));
    if (asked !== this.asked) await this.ask(asked);
  }

  showClip() {
    const { source, within } = this.query;
    this.clip.hidden = !source;
    this.intro.hidden = Boolean(source || within);
    if (!source) return;
    const { upload, name, moment } = source;
    const url = upload ? api.uploadFrameUrl(upload) : api.frameUrl(moment.video, moment.start);
    set(this.picture, { style: { "background-image": `url("${url}")` } });
    this.name.textContent = upload ? name : this.film?.id.startsWith(moment.video) ? this.film.name : "";
    this.about.textContent = moment ? `${tenth(moment.start)} – ${tenth(moment.end)}` : "";
  }

  refine(change) {
    Object.assign(this.query, change, { shown: -1 });
    this.act.changed();
  }

  of(source) {
    this.refine({ source, within: false });
  }

  ofVideo(video, start, end) {
    if (end - start > LONGEST) say(t("firstPart", { minutes: LONGEST / 60 }));
    this.film = video;
    this.of({ moment: { video: video.id, start, end: Math.min(end, start + LONGEST) } });
  }

  async take(files) {
    const [file] = files;
    if (!file) return;
    this.element.classList.add("busy");
    this.status.textContent = t("sending");
    try {
      const [sent] = (await api.upload("/query-files", [file])).files;
      if (sent.kind !== "video") throw Object.assign(new Error(t("noClip", { name: sent.name })), { hint: "" });
      this.act.sent(sent.id, file);
      this.of({ upload: sent.id, name: sent.name });
    } catch (error) {
      this.status.replaceChildren();
      complain(error);
    } finally {
      this.element.classList.remove("busy");
    }
  }

  async ask(asked, again = false) {
    this.clear();
    const running = (this.running = new AbortController());
    this.asked = asked;
    this.busy(true);
    try {
      if (asked === "within") {
        this.fillGroups(await api.watch("/copies/within", { again }, (now) => this.tell(now), { signal: running.signal }));
        return;
      }
      const { moment } = this.query.source;
      if (moment && !this.film?.id.startsWith(moment.video)) this.film = await api.get(`/videos/${moment.video}`, { signal: running.signal });
      this.showClip();
      this.fill(await api.watch("/copies", JSON.parse(asked), (now) => this.tell(now), { signal: running.signal }));
    } catch (error) {
      if (this.running !== running) return;
      this.asked = "";
      this.status.textContent = error.name === "AbortError" ? t("stopped") : "";
      complain(error.status === 404 && this.query.source?.upload ? Object.assign(new Error(t("gonePart")), { hint: "" }) : error);
    } finally {
      if (this.running === running) this.busy(false);
    }
  }

  busy(on) {
    this.element.classList.toggle("loading", on);
    this.stop.hidden = !on;
    this.bar.hidden = !on;
    this.bar.removeAttribute("value"); // not known yet
    this.again.hidden = on || !this.query.within || this.asked !== "within";
    if (on) this.status.textContent = t(this.query.within ? "comparingLibrary" : "lookingForCopies");
  }

  tell({ what, done, of }) {
    if (of > 0) set(this.bar, { value: done / of });
    else this.bar.removeAttribute("value");
    const far = what === "clip" ? { done: clock(done), of: clock(of) } : { done, of };
    this.status.textContent = what === "waiting" ? t(this.query.within ? "comparingLibrary" : "lookingForCopies") : t(`far.${what}`, far);
  }

  // ------------------------------------------------------------------------------------------------------ the matches

  fill(answer) {
    this.answer = answer;
    const n = answer.matches.length;
    const took = h("span", { class: "took" }, t("tookSeconds", { seconds: (answer.took_ms / 1000).toFixed(1) }));
    const videos = new Set(answer.matches.map((m) => m.video)).size;
    this.status.replaceChildren(h("span", {}, n === 0 ? t("noCopies") : n === 1 ? t("oneCopy") : t(videos === 1 ? "foundInOne" : "foundCopies", { n, videos })), took);
    if (!this.about.textContent) this.about.textContent = tenth(answer.seconds);
    this.rows = answer.matches.map((match, number) => this.row(match, answer.videos[match.video], number));
    this.list.replaceChildren(...this.rows.map((row) => h("li", {}, row)));
    if (this.rows.length) this.rows[0].tabIndex = 0;
  }

  row(match, video, number) {
    const range = (from, to) => `${tenth(from)} – ${tenth(to)}`;
    const whole = Math.max(this.answer.seconds, match.query_end, 0.001);
    const percent = Math.round(100 * match.probability);
    const facts = [
      Math.abs(match.speed - 1) > 0.015 && t("atSpeed", { speed: Math.round(match.speed * 100) / 100 }),
      match.mirrored && t("mirrored"),
    ].filter(Boolean);
    const told = t("matchLabel", {
      name: video.name, from: tenth(match.query_start), to: tenth(match.query_end), start: tenth(match.start), end: tenth(match.end), percent,
    });
    return h("button", { type: "button", class: "match", tabindex: -1, "aria-label": [told, ...facts].join(", "), onclick: () => this.act.compare(number) },
      h("span", { class: "picture" }, h("img", { src: api.frameUrl(match.video, (match.start + match.end) / 2), alt: "", loading: "lazy" })),
      h("span", { class: "told" },
        h("span", { class: "name", title: video.path }, video.name),
        h("span", { class: "ranges" }, range(match.query_start, match.query_end), icon("arrow"), h("strong", {}, range(match.start, match.end))),
        h("span", { class: "where", "aria-hidden": "true" },
          h("span", { style: { left: `${(100 * match.query_start) / whole}%`, width: `${(100 * (match.query_end - match.query_start)) / whole}%` } })),
        h("span", { class: "facts" },
          h("span", { class: "strength", title: t("probability", { percent }) },
            h("span", { class: "gauge", style: { "--part": String(match.probability) } }), `${percent} %`),
          ...facts.map((fact) => h("span", { class: "channel" }, fact)),
          ...match.evidence.map((e) => h("span", { class: `channel ${e === "other sound" ? "bad" : "copy"}` }, t(`evidence.${e}`))))));
  }

  // What a match is beside: where it plays from, how it is named to the server, its length, and the match in its times.
  clipOf(match, files) {
    const { answer, film } = this;
    const { source } = this.query;
    if (source?.upload) return { source: { file: files.get(source.upload) }, request: { upload: source.upload }, seconds: answer.seconds, match };
    let video = film;
    let { start, end } = source ? { start: source.moment.start, end: source.moment.start + answer.seconds } : {};
    if (!source) {
      video = answer.videos[match.query];
      const long = video.duration > LONGEST;
      start = long ? Math.max(0, match.query_start - AROUND) : 0;
      end = Math.min(video.duration, long ? Math.min(match.query_end + AROUND, start + LONGEST) : video.duration);
      const { query_start, query_end, offset, speed } = match;
      match = { ...match, query_start: query_start - start, query_end: Math.min(query_end, end) - start, offset: offset + speed * start };
    }
    return { source: { video, start, end }, request: { moment: { video: video.id, start, end } }, seconds: end - start, match };
  }

  // ------------------------------------------------------------------------------------------- copies of the library

  fillGroups(found) {
    const took = h("span", { class: "took" }, t("tookSeconds", { seconds: (found.took_ms / 1000).toFixed(1) }));
    const n = found.groups.length;
    this.answer = { matches: [], videos: found.videos };
    this.rows = [];
    this.status.replaceChildren(h("span", {}, n || found.shared.length ? t("foundGroups", { n, shared: found.shared.length }) : t("noCopies")), took);
    this.groups.replaceChildren(...found.groups.map((group) => this.group(group, found)), ...found.shared.map((part) => shared(part, found.videos)));
    if (this.rows.length) this.rows[0].tabIndex = 0;
  }

  group({ keep, reasons, videos }, found) {
    const best = found.videos[keep];
    const said = { size: `${best.width}×${best.height}`, rate: Math.round((8 * best.size_bytes) / best.duration / 1000) };
    const inside = new Set(videos.map((v) => v.video));
    const rows = videos.map((copy) => {
      const between = found.matches.filter((m) => [m.query, m.video].includes(copy.video) && inside.has(m.query) && inside.has(m.video));
      const match = between.find((m) => [m.query, m.video].includes(keep)) || between[0];
      return this.member(copy, found.videos[copy.video], copy.video === keep ? null : match);
    });
    return h("article", { class: "copy-group" }, h("h3", {}, t("keepThis", { name: best.name }),
        h("span", { class: "about" }, reasons.map((reason) => t(`why.${reason}`, said)).join(t("why.between")))),
      h("ol", { class: "matches" }, ...rows.map((row) => h("li", {}, row))));
  }

  member(copy, video, match) {
    const facts = [`${video.width}×${video.height}`, clock(video.duration, 1), bytes(video.size_bytes)].join(" · ");
    const inside = [
      h("span", { class: "picture" }, h("img", { src: api.frameUrl(video.id, video.duration / 3), alt: "", loading: "lazy" })),
      h("span", { class: "told" },
        h("span", { class: "name", title: video.path }, video.name), h("span", { class: "ranges" }, facts),
        h("span", { class: "facts" },
          h("span", { class: copy.kind === "master" ? "channel copy" : "channel" }, t(`kind.${copy.kind}`)),
          copy.kind !== "master" && t("covered", { percent: Math.round(100 * copy.covered) }),
          copy.advice === "redundant" && h("span", { class: "channel bad" }, t("redundant")))),
    ];
    if (!match) return h("div", { class: "match" }, ...inside);
    const number = this.answer.matches.push(match) - 1;
    const row = h("button", { type: "button", class: "match", tabindex: -1, "aria-label": `${video.name}, ${t(`kind.${copy.kind}`)}. ${t("compare")}`,
      onclick: () => this.act.compare(number) }, ...inside);
    this.rows.push(row);
    return row;
  }

  // --------------------------------------------------------------------------------------------------- the current one

  mark(number, focus = true) {
    this.current = number;
    for (const [n, row] of this.rows.entries()) {
      row.tabIndex = n === Math.max(number, 0) ? 0 : -1;
      row.classList.toggle("current", n === number);
    }
    const row = this.rows[number];
    if (!row) return;
    if (focus) row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }

  key(event) {
    const focused = this.rows.indexOf(document.activeElement);
    if (focused < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const to = { ArrowDown: focused + 1, ArrowUp: focused - 1, Home: 0, End: this.rows.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const next = Math.max(0, Math.min(this.rows.length - 1, to));
    this.rows[focused].tabIndex = -1;
    this.rows[next].tabIndex = 0;
    this.rows[next].focus();
  }
}

function shared(part, videos) {
  return h("article", { class: "copy-group" }, h("h3", {}, t("sharedMaterial", { n: new Set(part.map((s) => s.video)).size })),
    h("ul", { class: "shared" }, ...part.map((s) => h("li", {},
      h("img", { src: api.frameUrl(s.video, (s.start + s.end) / 2), alt: "", loading: "lazy" }),
      h("span", {}, videos[s.video].name), h("span", { class: "about" }, `${tenth(s.start)} – ${tenth(s.end)}`)))));
}

export function toRequest({ source, sound, folder }) {
  const clip = source.upload ? { upload: source.upload } : { moment: source.moment };
  return { ...clip, sound, ...(folder && { where: { folders: [folder] } }) };
}
