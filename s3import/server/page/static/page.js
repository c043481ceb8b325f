// Speaks what changed, says when the server does not answer, and asks again. Everything else works without.
"use strict";
(() => {
  const AGAIN_MS = 3000;
  const told = () => document.querySelector("#live[data-spoken]")?.dataset.spoken;
  let last;
  const speak = (text) => {
    const spoken = document.getElementById("spoken");
    if (spoken && text) spoken.textContent = text;
  };
  const speakChanges = () => {
    if (told() !== last) speak(last = told());
  };
  const answers = (yes) => {
    const notice = document.getElementById("connection");
    if (notice) notice.hidden = yes;
  };
  document.addEventListener("DOMContentLoaded", () => {
    last = told();
    speak(document.getElementById("said")?.textContent.trim());
    const failed = document.querySelector("[data-again]");
    if (failed) setTimeout(() => location.replace(failed.dataset.again), AGAIN_MS);
  });
  document.addEventListener("htmx:after:swap", () => {
    speakChanges();
    answers(true);
  });
  document.addEventListener("htmx:error", () => answers(false));
})();
