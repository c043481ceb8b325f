// Speaks what changed, and says when the server does not answer. Everything else works without.
"use strict";
(() => {
  const speak = () => {
    const live = document.querySelector("#live[data-spoken]");
    const spoken = document.getElementById("spoken");
    if (live && spoken && spoken.textContent !== live.dataset.spoken) spoken.textContent = live.dataset.spoken;
  };
  const answers = (yes) => () => {
    const notice = document.getElementById("connection");
    if (notice) notice.hidden = yes;
  };
  document.addEventListener("htmx:after:swap", speak);
  document.addEventListener("htmx:after:swap", answers(true));
  document.addEventListener("htmx:error", answers(false));
})();
