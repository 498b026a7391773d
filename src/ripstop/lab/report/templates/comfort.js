"use strict";
// Comfort only: a theme switch and a filter for the timeline. The page is whole without it.
document.documentElement.classList.add("scripted");
const dark = window.matchMedia("(prefers-color-scheme: dark)");
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const now = root.dataset.theme || (dark.matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
});
const filter = document.getElementById("filter");
if (filter) {
  const rows = Array.from(document.querySelectorAll("#timeline tbody tr"));
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}
