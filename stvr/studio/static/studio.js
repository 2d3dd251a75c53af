// Starts the page: the session that was left, or a new one; and ties the parts together.

import { follow, loopChosen, startAnswers } from "./answers.js";
import { ask } from "./api.js";
import { startDrawing } from "./box.js";
import { startExport } from "./exporting.js";
import { ACTS, showKeys, startKeys } from "./keys.js";
import { startLibrary } from "./library.js";
import { changeSpeed, isByFilm, isPlaying, jump, open, pause } from "./player.js";
import { blame, change, clock, element, onChange, state } from "./state.js";
import { startTheme } from "./theme.js";

async function takeUp() {
  const kept = new URLSearchParams(location.hash.slice(1)).get("desk") ?? localStorage.getItem("stvr-desk");
  if (kept && /^[\w-]{1,64}$/.test(kept)) {
    try {
      return await ask(`desks/${kept}`);
    } catch (error) {
      if (error.status !== 404) throw error;
    }
  }
  return { ...(await ask("desks", "POST")), view: {}, search: state.search };
}

async function start() {
  startTheme();
  element("fault").querySelector("button").addEventListener("click", () => (element("fault").hidden = true));
  element("help").addEventListener("click", showKeys);
  element("to-library").addEventListener("click", () => {
    element("library").scrollIntoView();
    element("filter").focus({ preventScroll: true });
  });
  startKeys();
  startDrawing();
  startAnswers();
  for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", () => ACTS[button.dataset.do]());
  startTime();
  const library = await ask("library");
  startExport(library.formats);
  startLibrary(library);
  const desk = await takeUp();
  localStorage.setItem("stvr-desk", desk.desk);
  history.replaceState(null, "", `#desk=${desk.desk}`);
  const { video = "", at = 0, examples = [] } = desk.view;
  const there = (id) => state.videos.some((each) => each.id === id);
  change({ desk: desk.desk, search: desk.search });
  if (examples.length && there(examples[0].video)) change({ example: { followed: examples[0].track.length ? true : null, ...examples[0] } });
  if (there(video)) await open(video, at);
  onChange((part) => ("seconds" in part || "example" in part) && keepLater());
  document.body.dataset.ready = "true";
  if (desk.search.state === "running") await follow();
}

function startTime() {
  const [scrub, at] = [element("scrub"), element("at")];
  scrub.addEventListener("input", () => {
    if (isPlaying()) pause();
    jump(Number(scrub.value));
  });
  scrub.addEventListener("keydown", (event) => ["ArrowLeft", "ArrowRight"].includes(event.key) && event.preventDefault());
  at.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    const parts = at.value.trim().split(":").map(Number);
    const seconds = parts.reduce((sum, part) => 60 * sum + part, 0);
    at.setAttribute("aria-invalid", String(!Number.isFinite(seconds)));
    if (Number.isFinite(seconds)) {
      at.blur();
      jump(seconds);
    }
  });
  element("speed").addEventListener("change", changeSpeed);
  element("loop").addEventListener("change", loopChosen);
  onChange(paintTime);
}

function paintTime(part) {
  const { film, seconds } = state;
  if (!film) return;
  const [scrub, at] = [element("scrub"), element("at")];
  if ("film" in part) {
    Object.assign(scrub, { min: film.first, max: film.last, disabled: false });
    element("screen").style.setProperty("--ratio", film.width / film.height);
    element("video-name").textContent = film.name;
    element("facts").textContent = `${film.width} × ${film.height} · ${film.rate.toFixed(film.rate % 1 ? 2 : 0)} frames a second · ${film.codec}${film.doubt ? ` · doubtful: ${film.doubt}` : ""}`;
    element("no-video").hidden = true;
    document.body.dataset.open = "true";
  }
  scrub.value = seconds;
  scrub.setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(film.last)}`);
  if (document.activeElement !== at) at.value = clock(seconds);
  element("still").alt = `Frame of ${film.name} at ${clock(seconds)}`;
  element("mode").textContent = isPlaying() ? (isByFilm() ? "playing" : "playing stills")
    : !element("film").hidden ? "decoding the still"
    : film.played && !element("film").error ? "exact still" : "exact still; this browser does not play the codec";
  document.body.dataset.playing = String(isPlaying());
}

let later = 0;
function keepLater() {
  clearTimeout(later);
  later = setTimeout(() => {
    const { example, film, seconds, desk } = state;
    if (isPlaying()) return keepLater();
    const examples = example ? [{ video: example.video, at: example.at, box: example.box, track: example.track }] : [];
    ask(`desks/${desk}/view`, "PUT", { video: film?.id ?? "", at: seconds, examples }).catch(() => {});
  }, 300);
}

start().catch(blame);
