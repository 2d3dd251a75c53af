// Every key and what it does; the help is made of the same table.

import { choose, chooseBeside, escape, judge, loopChosen, search } from "./answers.js";
import { boxByKeys } from "./box.js";
import { showExport } from "./exporting.js";
import { changeSpeed, isPlaying, jump, pause, play, step } from "./player.js";
import { element, state } from "./state.js";
import { nextTheme } from "./theme.js";

export const ACTS = {
  before: () => step(-1),
  after: () => step(1),
  back: () => play(-1),
  pause: () => pause(),
  play: () => play(1),
  box: () => boxByKeys(),
  search: () => search(),
  refine: () => search(true),
  cancel: () => escape(),
  export: () => showExport(),
};

const KEYS = [
  [["J", "j"], "Play backwards", ACTS.back],
  [["K", "k"], "Pause", ACTS.pause],
  [["L", "l"], "Play", ACTS.play],
  [["Space", " "], "Play or pause", () => (isPlaying() ? pause() : play())],
  [["←", "ArrowLeft"], "A frame back; with shift a second", (event) => (event.shiftKey ? jump(state.seconds - 1) : step(-1))],
  [["→", "ArrowRight"], "A frame on; with shift a second", (event) => (event.shiftKey ? jump(state.seconds + 1) : step(1))],
  [["Home", "Home"], "To the first frame", () => state.film && jump(state.film.first)],
  [["End", "End"], "To the last frame", () => state.film && jump(state.film.last)],
  [["G", "g"], "Jump to a time", () => select(element("at"))],
  [["[", "["], "Slower", () => speed(-1)],
  [["]", "]"], "Faster", () => speed(1)],
  [["B", "b"], "Box; then arrows move it, with shift they size it", ACTS.box],
  [["S", "s"], "Search what is boxed; without a box, the whole paused picture", ACTS.search],
  [["Esc", "Escape"], "Give the search up; else take the box away", ACTS.cancel],
  [["N", "n"], "Next answer", () => chooseBeside(1)],
  [["P", "p"], "Answer before", () => chooseBeside(-1)],
  [["1 – 9", /^[1-9]$/], "That answer", (event) => choose(Number(event.key) - 1)],
  [["O", "o"], "Loop the answer", () => {
    element("loop").checked = !element("loop").checked;
    loopChosen();
  }],
  [["U", "u"], "Thumb up for the answer", () => judge(state.chosen, "up")],
  [["D", "d"], "Thumb down for the answer", () => judge(state.chosen, "down")],
  [["R", "r"], "Refine: search again with the thumbs", ACTS.refine],
  [["E", "e"], "Export", ACTS.export],
  [["/", "/"], "Filter the library", () => select(element("filter"))],
  [["T", "t"], "Theme", nextTheme],
  [["?", "?"], "These keys", showKeys],
];

function select(field) {
  field.focus();
  field.select();
}

function speed(by) {
  const choice = element("speed");
  choice.selectedIndex = Math.min(Math.max(choice.selectedIndex + by, 0), choice.options.length - 1);
  changeSpeed();
}

export function showKeys() {
  element("keys").showModal();
}

export function startKeys() {
  element("keys").querySelector("dl").replaceChildren(...KEYS.map(([[name], words]) => {
    const row = document.createElement("div");
    const term = document.createElement("dt");
    term.append(Object.assign(document.createElement("kbd"), { textContent: name }));
    row.append(term, Object.assign(document.createElement("dd"), { textContent: words }));
    return row;
  }));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const field = event.target.closest("input, select, textarea");
    if (field && !["checkbox", "range"].includes(field.type)) {
      if (event.key === "Escape") field.blur();
      return;
    }
    if (event.target.closest("button, [type=checkbox]") && event.key === " ") return;
    const found = KEYS.find(([[, key]]) => (key instanceof RegExp ? key.test(event.key) : key === event.key || key === event.key.toLowerCase()));
    if (!found) return;
    event.preventDefault();
    found[2](event);
  });
}
