// How Sphinx's search ranks what it finds. (Sphinx puts this file into
// language_data.js, which the search page loads after searchtools.js.)
"use strict";

// Recipes come first, then other pages, then functions and classes.
Scorer.score = ([page, , , , score, , kind]) => {
  if (kind === "object" || kind === "index" && score < 50) return score / 1000;
  return page.startsWith("recipes/") && !page.endsWith("/index") ? score + 100 : score;
};

// A pasted message holds names that no page knows. Where no page holds every
// word, show those that hold at least half of them, best first.
const findAll = Search.performTermsSearch;
Search.performTermsSearch = (terms, excluded) => {
  const found = findAll(terms, excluded);
  if (found.length || terms.size < 2) return found;
  const pages = new Map();
  for (const term of terms) {
    for (const result of findAll(new Set([term]), excluded)) {
      const page = pages.get(result[0]) ?? { result, hits: 0 };
      pages.set(result[0], page);
      page.hits += 1;
      page.result[4] = page.hits;
    }
  }
  return [...pages.values()]
    .filter(({ hits }) => hits * 2 >= terms.size)
    .map(({ result }) => result);
};

// A chapter's name is part of each name in it: only the last part counts.
const findObjects = Search.performObjectSearch;
Search.performObjectSearch = (term, terms) =>
  findObjects(term, terms).filter(([, name]) => name.toLowerCase().split(".").pop().includes(term));

// From a file, the browser does not let the page read others for excerpts.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
