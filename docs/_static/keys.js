// Sphinx has / for the search and arrows for the pages. They must not get in
// the way of what scrolls sideways, and the search may be in a closed drawer.
"use strict";

DOCUMENTATION_OPTIONS.NAVIGATION_WITH_KEYS = true;

function scrollsSideways(one) {
  return one !== null && (one.scrollWidth > one.clientWidth
    && ["auto", "scroll"].includes(getComputedStyle(one).overflowX)
    || scrollsSideways(one.parentElement));
}

Documentation.focusSearchBar = () => {
  const drawer = document.querySelector("#__navigation");
  const button = document.querySelector(".nav-overlay-icon");
  if (drawer && button?.checkVisibility()) drawer.checked = true;
  document.querySelector("input[name=q]")?.focus();
};

document.addEventListener("keydown", (event) => {
  const { key } = event;
  const command = event.ctrlKey || event.metaKey;
  if (command && key === "k" && !event.altKey && !event.shiftKey) {
    Documentation.focusSearchBar();
    event.preventDefault();
  } else if (["ArrowLeft", "ArrowRight"].includes(key)
      && scrollsSideways(document.activeElement)) {
    event.stopPropagation();
  }
}, { capture: true });

// Sphinx marks the words of a search on the page that it leads to: dozens of
// them, in code and in the sidebar too, and single letters inside of words.
localStorage.removeItem("sphinx_highlight_terms");
