// The box of the example: drawn with the pointer or the keyboard, followed by the server for a second.

import { ask } from "./api.js";
import { isPlaying, jump, pause } from "./player.js";
import { blame, boxAt, change, clock, element, onChange, placeBox, state, tell } from "./state.js";

const screen = element("screen");
const box = element("box");
const LEAST = 0.02; // share of the picture's side
let drag = null; // {x, y}: where drawing began
let asked = 0;

function place(event) {
  const frame = screen.getBoundingClientRect();
  const inside = (value) => Math.min(Math.max(value, 0), 1);
  return { x: inside((event.clientX - frame.left) / frame.width), y: inside((event.clientY - frame.top) / frame.height) };
}

export function startDrawing() {
  screen.addEventListener("pointerdown", (event) => {
    if (!state.film || event.button !== 0 || event.target.closest(".tube button")) return;
    if (isPlaying()) pause();
    drag = place(event);
    screen.setPointerCapture(event.pointerId);
    event.preventDefault();
    screen.focus({ preventScroll: true });
  });
  screen.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const now = place(event);
    draw([Math.min(drag.x, now.x), Math.min(drag.y, now.y), Math.max(drag.x, now.x), Math.max(drag.y, now.y)], false);
  });
  screen.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const now = place(event);
    const drawn = Math.abs(now.x - drag.x) >= LEAST && Math.abs(now.y - drag.y) >= LEAST;
    drag = null;
    if (drawn) follow();
    else if (state.example && state.example.fresh) clearBox();
  });
  box.addEventListener("keydown", (event) => {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!x && !y) return;
    event.preventDefault();
    event.stopPropagation();
    nudge(0.01 * x, 0.01 * y, event.shiftKey);
  });
  element("follow").addEventListener("change", () => state.example && follow());
  onChange(paint);
}

// A box in the middle, for those who draw with the keyboard; or that of the example.
export async function boxByKeys() {
  if (!state.film) return;
  pause();
  if (!state.example || state.example.video !== state.film.id) {
    draw([0.35, 0.25, 0.65, 0.75]);
    follow();
  } else if (boxNow() === null) {
    await jump(state.example.at);
  }
  paint();
  box.focus();
}

export function clearBox() {
  asked += 1;
  change({ example: null });
  tell("The box is taken away.");
}

export function wholePicture() {
  draw([0, 0, 1, 1]);
}

function draw(edges, ready = true) {
  const at = (state.seconds + state.until) / 2 || state.seconds;
  change({ example: { video: state.film.id, at, box: edges, track: [], followed: null, fresh: !ready } });
}

let later = 0;
function nudge(x, y, sized) {
  const { example } = state;
  if (!example) return;
  const from = boxNow() ?? example.box;
  let [left, top, right, bottom] = from;
  if (sized) {
    right = Math.min(Math.max(right + x, left + LEAST), 1);
    bottom = Math.min(Math.max(bottom + y, top + LEAST), 1);
  } else {
    const across = Math.min(Math.max(x, -left), 1 - right);
    const down = Math.min(Math.max(y, -top), 1 - bottom);
    [left, right, top, bottom] = [left + across, right + across, top + down, bottom + down];
  }
  draw([left, top, right, bottom]);
  clearTimeout(later);
  later = setTimeout(follow, 350);
}

// Asks where what is boxed goes within the second around it.
async function follow() {
  const turn = ++asked;
  const { video, at, box: edges } = state.example;
  const still = { video, at, box: edges, track: [], followed: null };
  change({ example: still });
  if (!element("follow").checked) return;
  try {
    const found = await ask("track", "POST", { video, at, box: edges });
    if (turn !== asked || !state.example) return;
    change({ example: { ...still, track: found.track, followed: found.followed } });
  } catch (error) {
    if (turn === asked) blame(error);
  }
}

// Where the example's box is in the picture shown; null where it is not in it.
export function boxNow() {
  const { example, film, seconds, until } = state;
  if (!example || !film || example.video !== film.id) return null;
  const middle = (seconds + until) / 2;
  if (example.track.length < 2) return Math.abs(middle - example.at) <= 0.5 ? example.box : null;
  const [begin, end] = [example.track[0].seconds, example.track[example.track.length - 1].seconds];
  return boxAt(example.track, seconds, begin, Math.max(end, begin));
}

function paint() {
  const now = boxNow();
  box.hidden = now === null;
  if (now) placeBox(box, now);
  element("example").textContent = words();
}

function words() {
  const { example, videos } = state;
  if (!example) return "Pause where it happens, and draw a box around who does it.";
  const name = videos.find((each) => each.id === example.video)?.name ?? "a video";
  const how = example.followed === true ? "it follows what is in it for that second"
    : example.followed === false ? "what is in it was lost: from there it stands still"
      : "it stands still for that second";
  return `Box at ${clock(example.at)} in ${name}; ${how}.`;
}
