// The page: one query, its answer, the player, the library; and the address that holds all of it.

import * as api from "./api.js";
import { CopiesView, toRequest as copiesRequest } from "./copies.js";
import { button, complain, h, say } from "./dom.js";
import { LibraryView } from "./library.js";
import { Pair } from "./pair.js";
import { Player } from "./player.js";
import { QueryForm } from "./query.js";
import { ExportBar, Results } from "./results.js";
import { empty, fromAddress, isEmpty, toAddress, toRequest } from "./state.js";
import { language, switchLanguage, t } from "./words.js";

const PAGE = 24; // moments

export function start(root, { guarded = false } = {}) {
  document.documentElement.lang = language;
  new Page(root, guarded);
}

class Page {
  constructor(root, guarded) {
    this.query = empty();
    this.files = new Map(); // what was sent from here, by its id there: the browser plays it itself
    const sent = (id, file) => this.files.set(id, file);
    this.form = new QueryForm(() => this.search(), { sent, copies: (part) => this.copiesOfPart(part) });
    this.results = new Results({
      play: (moment, video) => this.play(moment, video),
      playing: () => this.player.open,
      like: (moment, weight) => this.likeMoment(moment, weight),
      selected: (moments) => this.exports.show(moments),
      more: () => this.more(),
      judges: () => this.judges(),
    });
    this.player = new Player({
      step: (by) => this.results.step(by),
      like: (part) => this.like(part),
      copies: (...range) => this.copiesOf(...range),
      request: () => (isEmpty(this.query) ? [] : toRequest(this.query).parts),
      closed: () => this.closed(),
    });
    this.exports = new ExportBar(() => this.results.unselect());
    this.library = new LibraryView({
      play: (moment, video) => this.play(moment, video),
      copies: (...range) => this.copiesOf(...range),
      changed: (facts) => this.facts(facts),
    });
    this.copies = new CopiesView({ changed: () => this.lookForCopies(true), compare: (number) => this.compare(number), sent });
    this.pair = new Pair({ step: (by) => this.stepMatch(by), closed: () => this.pairClosed() });
    this.intro = h("section", { class: "intro", hidden: true });
    this.build(root, guarded);
    window.addEventListener("popstate", () => this.restore());
    document.addEventListener("keydown", (event) => this.key(event));
    this.dropping(root);
    this.restore();
    this.begin();
  }

  build(root, guarded) {
    const tab = (view) => h("button", { type: "button", role: "tab", onclick: () => this.go(view) }, t(view));
    this.tabs = { search: tab("search"), copies: tab("copies"), library: tab("library") };
    this.help = h("dialog", { class: "help", "aria-label": t("help") },
      h("h2", {}, t("help")), h("dl", {}, ...t("keys").map(([keys, what]) => h("div", {}, h("dt", {}, keys), h("dd", {}, what)))),
      h("form", { method: "dialog" }, h("button", { class: "go" }, t("close"))));
    this.main = h("main", {},
      h("div", { class: "found" }, this.intro, this.results.element, this.copies.element, this.library.element),
      this.player.element, this.pair.element);
    root.replaceChildren(
      h("header", { class: "top" },
        h("a", { class: "logo", href: "/", onclick: (event) => this.home(event) }, "Footage"),
        h("nav", { role: "tablist", "aria-label": "Footage" }, ...Object.values(this.tabs)),
        h("span", { class: "spacer" }),
        h("button", { type: "button", class: "quiet", onclick: switchLanguage, lang: language === "zh" ? "en" : "zh" }, t("language")),
        button("help", t("help"), () => this.help.showModal()),
        guarded && h("form", { method: "post", action: "/logout" }, h("button", { class: "quiet" }, t("logout")))),
      this.form.element, this.main, this.exports.element, this.help, h("div", { class: "dropzone" }, t("drop")));
    root.classList.add("ready");
    this.root = root;
  }

  async begin() {
    try {
      await this.library.loadFacts();
      const { videos } = await api.get("/videos?limit=1000");
      const folders = videos.map((v) => v.path.replaceAll("\\", "/").split("/").slice(0, -1).join("/"));
      this.form.suggestFolders([...new Set(folders)].filter(Boolean).sort());
    } catch (error) {
      complain(error);
    }
  }

  facts(facts) {
    const was = this.empty;
    this.empty = facts.videos === 0;
    this.tabs.library.replaceChildren(t("library"), ...(facts.videos ? [h("span", { class: "count" }, ` (${facts.videos})`)] : []));
    if (was !== this.empty) this.showIntro();
  }

  showIntro() {
    // Before the first query: what to do. With an empty library that is to add videos.
    const bare = this.query.view === "search" && isEmpty(this.query) && this.results.moments.length === 0;
    this.intro.hidden = !(bare || (this.empty && this.query.view === "search"));
    this.intro.replaceChildren(
      ...(this.empty
        ? [h("h1", {}, t("emptyTitle")), h("p", {}, t("emptyText")),
            h("button", { type: "button", class: "go", onclick: () => this.go("library") }, t("addFolder")),
            h("pre", {}, "footage index FOLDER")]
        : [h("h1", {}, t("start")), h("p", {}, t("startHint"))]));
  }

  // ----------------------------------------------------------------------------------------------------- the address

  async restore() {
    this.query = fromAddress(location.search);
    this.form.show(this.query);
    this.showView();
    if (this.player.open && !this.query.shown) this.player.close();
    if (this.query.view === "copies") return this.lookForCopies(false);
    if (this.pair.open) this.pair.close();
    if (this.query.view !== "search") {
      if (this.query.shown) await this.playShown();
      return;
    }
    await this.form.checkUploads();
    if (isEmpty(this.query)) this.results.clear();
    else await this.answer();
    if (this.query.shown) await this.playShown();
  }

  remember(push) {
    const asked = this.query.words.trim();
    document.title = asked ? `${asked} – Footage` : "Footage";
    const address = toAddress(this.query);
    if (address === location.pathname + location.search || address === location.search) return;
    history[push ? "pushState" : "replaceState"](null, "", address);
  }

  home(event) {
    event.preventDefault();
    this.query = empty();
    this.form.show(this.query);
    this.results.clear();
    this.copies.clear();
    this.closeAll();
    this.remember(true);
    this.showView();
    this.form.focus();
  }

  closeAll() {
    if (this.player.open) this.player.close();
    if (this.pair.open) this.pair.close();
  }

  go(view) {
    if (view !== this.query.view) this.closeAll();
    this.query.view = view;
    this.remember(true);
    this.showView();
    if (view === "copies") this.copies.show(this.query.copies);
  }

  showView() {
    const { view } = this.query;
    for (const [name, tab] of Object.entries(this.tabs)) tab.setAttribute("aria-selected", String(name === view));
    this.results.element.hidden = view !== "search";
    this.library.element.hidden = view !== "library";
    this.copies.element.hidden = view !== "copies";
    this.form.element.hidden = view !== "search";
    this.showIntro();
    if (view === "library") this.library.open();
  }

  // ------------------------------------------------------------------------------------------------------- searching

  async search() {
    this.query.shown = null;
    this.query.view = "search";
    this.showView();
    this.remember(true);
    if (this.player.open) this.player.close();
    this.form.showParts();
    if (isEmpty(this.query)) {
      this.results.clear();
      return this.showIntro();
    }
    await this.answer();
  }

  async answer(page = null) {
    this.running?.abort();
    const running = new AbortController();
    this.running = running;
    if (page === null) this.results.clear();
    this.results.busy(page === null);
    this.intro.hidden = true;
    try {
      const asked = { ...toRequest(this.query), k: PAGE, page };
      const found = await api.post("/search", asked, { signal: running.signal });
      this.next = found.next;
      this.results.append(found);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (page === null) this.results.say("");
      complain(error);
      this.showIntro();
    } finally {
      if (this.running === running) this.results.busy(false);
    }
  }

  async more() {
    if (this.next) await this.answer(this.next);
  }

  like(part) {
    if (this.player.open) this.player.video.pause();
    this.form.add(part);
    window.scrollTo({ top: 0 });
  }

  likeMoment(moment, weight) {
    this.like({ kind: "image", weight, moment: { video: moment.video, at: moment.at } });
  }

  judges() {
    // Answers to words alone, or to one whole frame of the library alone, are judged: footage eval mine learns from it.
    const { words, not, parts } = this.query;
    const [part] = parts;
    const frame = parts.length === 1 && part.kind === "image" && part.moment && !part.moment.box && part.weight > 0 && !words.trim();
    if (not.trim() || !(frame || (words.trim() && !parts.length))) return null;
    const asked = frame ? { frame: { video: part.moment.video, at: part.moment.at } } : { text: words.trim() };
    return async ({ video, start, end }, good) => {
      await api.post("/judgements", { ...asked, video, start, end, good });
      say(t("judged"));
    };
  }

  // ---------------------------------------------------------------------------------------------------------- playing

  play(moment, video) {
    const { start, end, at } = moment;
    this.query.shown = { video: moment.video, start, end, at };
    this.root.classList.add("watching");
    this.remember(false);
    return this.player.play(moment, video);
  }

  async playShown() {
    const number = this.results.find(this.query.shown);
    if (number >= 0) return this.results.play(number);
    try {
      const video = await api.get(`/videos/${this.query.shown.video}`);
      await this.play({ ...this.query.shown, video: video.id }, video);
    } catch (error) {
      complain(error);
    }
  }

  closed() {
    this.root.classList.remove("watching");
    if (!this.query.shown) return;
    this.query.shown = null;
    this.remember(false);
    if (this.query.view === "search") this.results.mark(this.results.current);
  }

  // ----------------------------------------------------------------------------------------------------------- copies

  copiesOf(video, start, end) {
    this.closeAll();
    this.query.view = "copies";
    this.copies.query = this.query.copies;
    this.copies.ofVideo(video, start, end);
  }

  copiesOfPart({ upload, name, moment }) {
    this.closeAll();
    this.query.view = "copies";
    this.copies.query = this.query.copies;
    this.copies.of(upload ? { upload, name } : { moment });
  }

  async lookForCopies(push) {
    if (push && this.pair.open) this.pair.close();
    if (push) this.remember(true);
    this.showView();
    const { copies } = this.query;
    await this.copies.show(copies);
    if (copies !== this.query.copies) return;
    if (copies.shown >= 0) this.compare(copies.shown);
    else if (this.pair.open) this.pair.close();
  }

  compare(number) {
    const { answer } = this.copies;
    const match = answer?.matches[number];
    if (!match || (this.pair.open && this.shownMatch === match)) return;
    this.query.copies.shown = number;
    this.remember(false);
    this.copies.mark(number);
    this.root.classList.add("comparing");
    this.shownMatch = match;
    this.pair.show(answer.videos[match.video], this.copies.clipOf(match, this.files));
  }

  stepMatch(by) {
    this.compare(Math.max(0, Math.min(this.copies.rows.length - 1, this.copies.current + by)));
  }

  pairClosed() {
    this.root.classList.remove("comparing");
    if (this.query.view !== "copies") return;
    this.query.copies.shown = -1;
    this.remember(false);
    this.copies.mark(this.copies.current);
  }

  // ------------------------------------------------------------------------------------------------- keys and dropping

  key(event) {
    const typing = event.target.closest?.("input:not([type=checkbox], [type=range]), select, textarea, dialog[open]");
    if (event.ctrlKey || event.metaKey || event.altKey || typing) {
      if (event.key === "Escape" && typing && typing.tagName !== "DIALOG") typing.blur();
      return;
    }
    if (event.target.type === "range" && event.key.startsWith("Arrow")) return; // a slider's own
    const { player } = this;
    const always = { "/": () => this.toWords(), "?": () => this.help.showModal() };
    const open = {
      Escape: () => player.close(), " ": () => player.toggle(), ",": () => player.nudge(-1), ".": () => player.nudge(1),
      s: () => player.again(), b: () => player.drawBox(), m: () => player.likeFrame(1), l: () => player.likeFrame(-1),
      ArrowLeft: () => this.results.step(-1), ArrowRight: () => this.results.step(1),
    };
    const { pair } = this;
    const both = {
      Escape: () => pair.close(), " ": () => pair.toggle(), ",": () => pair.nudge(-1), ".": () => pair.nudge(1), s: () => pair.again(),
      f: () => pair.flip(), ArrowLeft: () => this.stepMatch(-1), ArrowRight: () => this.stepMatch(1),
    };
    const act = always[event.key] || (player.open ? open[event.key] : pair.open ? both[event.key] : null);
    if (!act || (event.key === " " && event.target.closest?.("button:not(.match.current), summary, a"))) return;
    event.preventDefault();
    act();
  }

  toWords() {
    if (this.query.view !== "search") this.go("search");
    this.form.focus();
  }

  dropping(root) {
    const holds = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
    let depth = 0; // of the elements that a file is held over
    const over = (by) => {
      depth = by === 0 ? 0 : Math.max(0, depth + by);
      root.classList.toggle("dropping", depth > 0);
    };
    document.addEventListener("dragenter", (event) => holds(event) && over(1));
    document.addEventListener("dragleave", (event) => holds(event) && over(-1));
    document.addEventListener("dragover", (event) => holds(event) && event.preventDefault());
    document.addEventListener("drop", (event) => {
      if (!holds(event)) return;
      event.preventDefault();
      over(0);
      this.take([...event.dataTransfer.files]);
    });
    document.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files || [])];
      if (!files.length) return;
      event.preventDefault();
      this.take(files);
    });
  }

  take(files) {
    if (this.query.view === "library") return this.library.adding.send(files);
    if (this.query.view === "copies") return this.copies.take(files);
    if (!files.length) return say(t("placeholder"));
    return this.form.addFiles(files);
  }
}
