// How Sphinx's search finds and ranks pages. (Sphinx puts this file into
// language_data.js, which the search page loads after searchtools.js.)
"use strict";

const stemmer = new Stemmer();
const split = splitQuery;
const stem = (word) => stemmer.stemWord(word.toLowerCase());
const pairs = (words) => words.slice(1).map((word, n) => words[n] + word);
const telling = (words) => words.filter((word) => !stopwords.has(word.toLowerCase()));

// What is known of each page, and the pages that each word stands on. Sphinx
// does not count how often a word stands on a page.
let known;
function readIndex() {
  if (known) return known;
  const { titles, terms, indexentries } = Search._index;
  const files = new Map(Object.entries(terms).map(([word, found]) => [word, new Set([found].flat())]));
  const read = (text, page) => {
    const words = telling(split(text));
    for (const word of [...words, ...pairs(words)].map(stem)) {
      files.set(word, (files.get(word) ?? new Set()).add(page));
    }
    return new Set(words.map(stem));
  };
  const pages = titles.map((title, page) => ({ title: read(title, page), phrases: [], names: [] }));
  for (const [phrase, places] of Object.entries(indexentries)) {
    for (const [page, anchor, isMain] of places) {
      if (isMain) pages[page].phrases.push(read(phrase, page));
      if (isMain && !anchor) pages[page].names.push(new Set(split(phrase).map(stem)));
    }
  }
  for (const page of pages) page.words = new Set(page.phrases.flatMap((phrase) => [...phrase]));
  known = { pages, files };
  return known;
}

// Return how many letters to change, add, leave out or swap to make one word
// of the other; more than *most* if it takes more.
function distance(one, other, most) {
  if (Math.abs(one.length - other.length) > most) return most + 1;
  let before = [];
  let last = Array.from({ length: other.length + 1 }, (_, n) => n);
  for (let i = 1; i <= one.length; i++) {
    const row = [i];
    for (let j = 1; j <= other.length; j++) {
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (one[i - 1] !== other[j - 1]));
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]) {
        row[j] = Math.min(row[j], before[j - 2] + 1);
      }
    }
    if (Math.min(...row) > most) return most + 1;
    [before, last] = [last, row];
  }
  return last[other.length];
}

// Return the nearest of the words that *word* may be a misspelling of.
function nearest(word, words, most) {
  let near = [];
  for (const other of words) {
    const far = distance(word, other, most);
    if (far > most) continue;
    if (far < most) [near, most] = [[], far];
    near.push(other);
  }
  return [near, most];
}

// Return the words of the index that a word stands for, and how sure that is:
// itself, those that start with it, those that it misspells or that hold it.
function meant(word) {
  const { files } = readIndex();
  if (files.has(word)) return [[word], 1];
  if (word.length < 3) return [[], 0];
  const words = [...files.keys()];
  const longer = words.filter((other) => other.startsWith(word));
  if (longer.length) return [longer, 1];
  const [near, far] = nearest(word, words, word.length < 4 ? 0 : word.length < 7 ? 1 : 2);
  if (near.length) return [near, 1 - far / 4];
  return [words.filter((other) => other.includes(word)), 1];
}

// The words of the query, those that tell nothing too: "what changed in 3.14"
// has but one that tells.
let asked = new Set();

// Whether the query is, but for a word or two, one of a page's phrases.
const names = (phrase) => {
  const both = [...asked].filter((word) => phrase.has(word)).length;
  return both / (asked.size + phrase.size - both) > 0.65;
};

// Take "time out" for "timeout" too, and "life lock" for "livelock".
splitQuery = (query) => {
  const words = split(query);
  asked = new Set(words.map((word) => telling([word]).length && meant(stem(word))[0][0] || stem(word)));
  const { files } = readIndex();
  const written = pairs(words).filter((pair, n) => {
    const word = stem(pair);
    const isLong = word.length > 7 && telling(words.slice(n, n + 2)).length > 1;
    return files.has(word) || isLong && nearest(word, files.keys(), 1)[0].length;
  });
  return [...words, ...written];
};

// A word tells the more, the fewer pages it stands on. It counts once where it
// stands on the page, once more in the title and once more in a phrase that
// the page is to be found by; and again if the query holds the whole phrase.
Search.performTermsSearch = (terms) => {
  const { pages, files } = readIndex();
  const scores = new Map();
  const tells = new Map();
  let all = 0;
  for (const term of terms) {
    const [words, sure] = meant(term);
    const found = new Set(words.flatMap((word) => [...files.get(word)]));
    if (!found.size) continue;
    const weight = sure * Math.log(1 + pages.length / found.size);
    all += weight;
    for (const word of words) tells.set(word, Math.max(weight, tells.get(word) ?? 0));
    for (const page of found) {
      const places = [pages[page].title, pages[page].words];
      const count = 1 + places.filter((place) => words.some((word) => place.has(word))).length;
      scores.set(page, (scores.get(page) ?? 0) + count * weight);
    }
  }
  for (const [page, score] of scores) {
    const whole = pages[page].phrases
      .filter((phrase) => [...phrase].every((word) => tells.has(word)))
      .map((phrase) => [...phrase].reduce((sum, word) => sum + tells.get(word), 0));
    scores.set(page, score + Math.max(0, ...whole));
  }
  const least = Math.max(...scores.values()) / 3;
  const { docnames, filenames, titles } = Search._index;
  return [...scores]
    .filter(([, score]) => score >= least)
    .map(([page, score]) => [docnames[page], titles[page], "", null, 10 * score / all, filenames[page], "text"]);
};

// A page written by hand that the query names comes first, then recipes, then
// other pages, then functions and classes.
Scorer.score = ([page, , , , score, , kind]) => {
  if (kind === "object" || kind === "index" && score < 50) return score / 1000;
  if (page.startsWith("recipes/") && !page.endsWith("/index")) return score + 100;
  const { pages } = readIndex();
  const isNamed = pages[Search._index.docnames.indexOf(page)].names.some(names);
  return isNamed ? score + 200 : score;
};

// A chapter's name is part of each name in it: only the last part counts.
const findObjects = Search.performObjectSearch;
Search.performObjectSearch = (term, terms) =>
  findObjects(term, terms).filter(([, name]) => name.toLowerCase().split(".").pop().includes(term));

// From a file, the browser does not let the page read others for excerpts.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
