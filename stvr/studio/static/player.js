// Shows a video: stills decoded by the server wherever it must be exact; the browser's player while it plays, if it can.

import { ask, take } from "./api.js";
import { blame, change, element, state } from "./state.js";

const film = element("film");
const still = element("still");
let wanted = null; // {at, step}: the still to fetch next; only the last one counts
let fetching = null;
let address = "";
let direction = 0; // 1 plays, -1 plays backwards, 0 is paused
let byFilm = false; // whether the browser plays, or stills follow one another
let opening = 0;
export let loop = null; // {begin, end} to stay within, or null

export async function open(video, at = null) {
  pause();
  const turn = ++opening;
  const late = setTimeout(() => (element("loading").hidden = false), 400);
  const opened = await ask(`videos/${video}`).finally(() => {
    clearTimeout(late);
    element("loading").hidden = true;
  });
  if (turn !== opening) return;
  loop = null;
  film.removeAttribute("src");
  film.load();
  change({ film: opened, seconds: opened.first, until: opened.first });
  if (opened.played) {
    film.src = `/api/videos/${opened.id}/file`;
    film.load();
  }
  await show(at ?? opened.first);
}

export function stay(within) {
  loop = within;
}

// Whether the browser plays this file; it must have seen a picture of it.
export const plays = () => Boolean(state.film?.played) && !film.error && film.readyState >= 2 && film.videoWidth > 0;
export const isPlaying = () => direction !== 0;
export const isByFilm = () => byFilm;

// The still on screen at a time, or some frames from it. While one is fetched, only the last of the others is kept.
export function show(at, step = 0) {
  wanted = { at, step };
  fetching ??= fetchAll().finally(() => {
    fetching = null;
    element("loading").hidden = true;
  });
  return fetching;
}

async function fetchAll() {
  const late = setTimeout(() => (element("loading").hidden = false), 400);
  try {
    while (wanted) {
      const { at, step } = wanted;
      wanted = null;
      await fetchOne(at, step);
    }
  } catch (error) {
    wanted = null;
    pause();
    blame(error);
  } finally {
    clearTimeout(late);
  }
}

async function fetchOne(at, step) {
  const { id } = state.film;
  const height = Math.ceil(Math.min(element("screen").clientHeight * devicePixelRatio, 2160)) || 360;
  const response = await take(`/api/videos/${id}/still?at=${at}&step=${step}&height=${height}`);
  const [seconds, until] = ["X-Seconds", "X-Until"].map((name) => Number(response.headers.get(name)));
  const fresh = URL.createObjectURL(await response.blob());
  if (state.film.id !== id || (direction && byFilm)) {
    URL.revokeObjectURL(fresh); // too late
    return;
  }
  still.src = fresh;
  // a page that is not being drawn may never say that it has decoded
  await Promise.race([still.decode().catch(() => {}), new Promise((resolve) => setTimeout(resolve, 300))]);
  if (address) URL.revokeObjectURL(address);
  address = fresh;
  still.hidden = false;
  film.hidden = true;
  change({ seconds, until });
}

export function step(frames) {
  if (!state.film) return;
  pause();
  // a step waits for the one before it, so that none is lost
  stepping = stepping.then(() => show(state.seconds, frames));
}
let stepping = Promise.resolve();

export function jump(seconds) {
  if (!state.film) return Promise.resolve();
  const { first, last } = state.film;
  const at = Math.min(Math.max(seconds, first), last);
  if (isPlaying() && byFilm) {
    film.currentTime = at;
    change({ seconds: at, until: at });
    return Promise.resolve();
  }
  if (isPlaying()) restart(at);
  return show(at);
}

export function pause() {
  const was = direction;
  direction = 0;
  if (was && byFilm) {
    byFilm = false;
    film.pause();
    show(film.currentTime); // what is paused is what the server decodes there
  }
  change({});
}

export function play(way = 1) {
  if (!state.film) return;
  if (direction) pause();
  const { first, last } = state.film;
  if (way > 0 && state.until >= last - 1e-6) change({ seconds: first, until: first });
  direction = way;
  restart(state.seconds);
  if (way > 0 && plays()) playFilm();
  else playStills();
  change({});
}

const speed = () => Number(element("speed").value);
let started = { clock: 0, seconds: 0 };

function restart(seconds) {
  started = { clock: performance.now(), seconds };
}

export function changeSpeed() {
  film.playbackRate = speed();
  restart(state.seconds);
}

function playFilm() {
  byFilm = true;
  film.currentTime = state.seconds;
  film.playbackRate = speed();
  const run = () => {
    if (direction !== 1 || !byFilm) return;
    const now = film.currentTime;
    if (loop && (now >= loop.end || now < loop.begin - 0.5)) film.currentTime = loop.begin;
    if (film.ended) {
      if (loop) film.play();
      else return pause();
    }
    change({ seconds: now, until: now });
    requestAnimationFrame(run);
  };
  film.play().then(() => {
    if (direction !== 1 || !byFilm) return;
    film.hidden = false;
    still.hidden = true;
    requestAnimationFrame(run);
  }, () => {
    if (direction !== 1 || !byFilm) return; // paused before it began
    byFilm = false;
    playStills();
  });
}

async function playStills() {
  const way = direction;
  while (direction === way) {
    let target = started.seconds + (way * speed() * (performance.now() - started.clock)) / 1000;
    const [first, last] = loop && way > 0 ? [loop.begin, loop.end] : [state.film.first, state.film.last];
    if (loop && way > 0 && (target >= last || target < first)) {
      restart(first);
      target = first;
    } else if (target >= last || target < first) {
      await show(way > 0 ? last : first);
      direction = 0;
      change({});
      return;
    }
    if (target < state.seconds || target >= state.until) await show(target);
    await new Promise(requestAnimationFrame);
  }
}
