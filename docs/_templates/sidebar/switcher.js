// Leads from a page to the same page of another version of the book, or to
// its first page if it has no such page.
"use strict";

// Return a link to the same page of each other version, or to its first page.
async function otherVersions(list, edition) {
  const answer = await fetch(new URL("versions.json", list));
  const { content_root: root } = document.documentElement.dataset;
  const book = new URL(root, document.baseURI).pathname;
  const page = location.pathname.slice(book.length);
  // Hosts show a page without its ending too, and a folder by its index.
  const names = [page, `${page}.html`, `${page}index.html`];
  const others = Object.entries(await answer.json());
  return others.filter(([name]) => name !== edition).map(([name, pages]) => {
    const folder = new URL(name === "latest" ? "." : `${name}/`, list);
    const same = names.find((one) => pages.includes(one));
    const link = document.createElement("a");
    link.href = new URL(same ? same + location.hash : "index.html", folder);
    link.textContent = name;
    return link;
  });
}

function listed(links) {
  const list = document.createElement("ul");
  for (const link of links) {
    const item = document.createElement("li");
    item.append(link);
    list.append(item);
  }
  return list;
}

function addSwitcher(place) {
  const { edition } = place.dataset;
  const link = place.querySelector("a");
  // A file may have been taken from the site alone.
  if (!location.protocol.startsWith("http")) {
    place.textContent = `Version: ${edition}`;
    return;
  }
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = `Version: ${edition}`;
  link.textContent = "All versions";
  details.append(summary, listed([link]));
  details.addEventListener("toggle", async () => {
    if (!details.open) return;
    try {
      const others = await otherVersions(link.href, edition);
      details.replaceChildren(summary, listed([...others, link]));
    } catch {
      // Offline: the link to the list is still there.
    }
  });
  place.replaceChildren(details);
}

addSwitcher(document.querySelector(".versions"));
