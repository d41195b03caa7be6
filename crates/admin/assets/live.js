// Keeps an open page fresh: the server says when something has changed, and the page is fetched again as it is.
"use strict";
(() => {
  const sign = document.getElementById("live");
  const pause = Number(document.body.dataset.every) * 1000;
  let isBusy = false;
  let isWanted = false;
  let last = 0;

  function show(isLive) {
    sign.hidden = false;
    sign.className = isLive ? "live on" : "live";
    sign.textContent = isLive ? sign.dataset.on : sign.dataset.off;
  }

  // Whoever types, selects or tabs in a part of the page keeps it as it is for the moment.
  function isInUse(part) {
    const selection = document.getSelection();
    const isSelected = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
    return isSelected || (document.activeElement !== document.body && part.contains(document.activeElement));
  }

  function replace(part, fresh) {
    if (!fresh || part.innerHTML === fresh.innerHTML || isInUse(part)) return;
    const known = new Map([...part.querySelectorAll("details")].map((each) => [each.id, each.open]));
    const next = document.importNode(fresh, true);
    for (const each of next.querySelectorAll("details")) {
      if (known.has(each.id)) each.open = known.get(each.id);
    }
    part.replaceWith(next);
  }

  async function refresh() {
    isWanted = true;
    const wait = last + pause - Date.now();
    if (isBusy || document.hidden || wait > 0) {
      if (wait > 0 && !isBusy) {
        isBusy = true;
        setTimeout(() => { isBusy = false; if (isWanted) refresh(); }, wait);
      }
      return;
    }
    isBusy = true;
    isWanted = false;
    last = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (answer.redirected) return location.reload();
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const part of document.querySelectorAll("[data-live]")) replace(part, page.getElementById(part.id));
      }
      show(answer.ok);
    } catch {
      // The stream tells when the server is back.
    }
    isBusy = false;
    if (isWanted) refresh();
  }

  function listen() {
    const events = new EventSource("events");
    events.onopen = () => { show(true); refresh(); };
    events.onmessage = () => refresh();
    events.onerror = () => {
      show(false);
      // Refused: too many pages, or signed out. Otherwise the browser tries again by itself.
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, 30000);
    };
  }

  document.addEventListener("visibilitychange", () => { if (!document.hidden && isWanted) refresh(); });
  listen();
})();
