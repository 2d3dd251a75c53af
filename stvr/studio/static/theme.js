// Light, dark, or as the system has it.

import { element } from "./state.js";

const THEMES = ["auto", "light", "dark"];

function put(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  element("theme").querySelector("span").textContent = `Theme: ${theme}`;
  localStorage.setItem("stvr-theme", theme);
}

export function nextTheme() {
  const now = localStorage.getItem("stvr-theme") ?? "auto";
  put(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
}

export function startTheme() {
  const kept = localStorage.getItem("stvr-theme");
  put(THEMES.includes(kept) ? kept : "auto");
  element("theme").addEventListener("click", nextTheme);
}
