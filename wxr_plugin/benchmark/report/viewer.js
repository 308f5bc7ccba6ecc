"use strict";
(() => {
  const data = JSON.parse(document.getElementById("v-data").textContent);
  const at = (name) => document.getElementById("v-" + name);
  const stage = at("stage"), viewer = document.getElementById("viewer");
  if (!data.sets.length) { viewer.hidden = true; return; }

  const sources = data.sources;
  const view = { set: 0, image: 0, left: 0, right: data.right ?? firstMethod(), cut: 50, zoom: 1, x: .5, y: .5 };
  const most = 40;
  let order = [], panes = [], waiting = false;

  function firstMethod() {
    const found = sources.findIndex(([key]) => key !== "input" && key !== "gt");
    return found < 0 ? sources.length - 1 : found;
  }
  const currentSet = () => data.sets[view.set];
  const image = () => currentSet().images[view.image];
  const has = (source) => currentSet().images.some((each) => each.f[source] !== null || each.d[source]);
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  /* ---- what there is to look at ---- */

  function address(source) {
    const shown = image();
    if (shown.d[source]) return shown.d[source];
    return shown.f[source] === null ? null : currentSet().base[source] + shown.f[source];
  }

  function fill(select, names, chosen) {
    select.replaceChildren(...names.map((name, place) => new Option(name, place, false, place === chosen)));
  }

  function fillOrders() {
    const names = ["by name"];
    for (const [title, better] of data.metrics) {
      names.push(title + " of the right one, worst first", title + ", where left and right differ most");
    }
    fill(at("order"), names, 0);
    at("order").parentNode.hidden = names.length < 2;
  }

  function sortImages() {
    const images = currentSet().images, chosen = Number(at("order").value);
    order = images.map((_, place) => place);
    if (chosen) {
      const metric = Math.floor((chosen - 1) / 2), apart = (chosen - 1) % 2 === 1;
      const low = data.metrics[metric][1] === "lower" ? -1 : 1;
      const value = (source, place) => images[place].v[source] ? images[place].v[source][metric] : null;
      const key = (place) => {
        const right = value(view.right, place), left = value(view.left, place);
        if (right === null || (apart && left === null)) return Infinity;
        return apart ? -Math.abs(right - left) : low * right;
      };
      order.sort((one, other) => {
        const a = key(one), b = key(other);
        return a === b ? one - other : a < b ? -1 : 1;
      });
    }
    at("image").replaceChildren(...order.map((place) => {
      const here = images[place].d.some(Boolean) ? "" : " (linked)";
      return new Option(images[place].n + here, place, false, place === view.image);
    }));
  }

  /* ---- showing ---- */

  function load(img, source, lost) {
    const where = address(source);
    img.hidden = !where;
    lost(where ? "" : sources[source][1] + ": there is none of this photo");
    img.onerror = () => { img.hidden = true; lost(sources[source][1] + ": not found; it is read from a file next to this page"); };
    img.onload = draw;
    if (where) img.src = where; else img.removeAttribute("src");
    img.alt = sources[source][1] + ", " + image().n;
  }

  function show() {
    const lost = ["", ""];
    const tell = (side) => (text) => {
      lost[side] = text;
      at("lost").textContent = lost.filter(Boolean).join(" · ");
      at("lost").hidden = !at("lost").textContent;
    };
    [["left", 0], ["right", 1]].forEach(([side, place]) => {
      at(side).value = view[side];
      load(at(side + "-image"), view[side], tell(place));
      at(side + "-tag").textContent = sources[view[side]][1];
    });
    at("image").value = view.image;
    showScores();
    showTexts();
    showAll();
    draw();
  }

  function best(column, better) {
    const found = column.filter((value) => value !== null);
    return found.length < 2 ? null : better === "lower" ? Math.min(...found) : Math.max(...found);
  }

  function figures(source) {
    return image().v[source] || data.metrics.map(() => null);
  }

  function showScores() {
    const measured = data.metrics.map((_, place) => place).filter((place) => image().v.some((row) => row && row[place] !== null));
    const table = document.createElement("table");
    table.className = "wide";
    const head = table.createTHead().insertRow();
    addCell(head, "th", "This photo");
    measured.forEach((place) => addCell(head, "th", data.metrics[place][0] + (data.metrics[place][1] === "lower" ? " ↓" : " ↑")));
    const body = table.createTBody();
    for (const side of ["left", "right"]) {
      const row = body.insertRow();
      const name = addCell(row, "th", ""), file = image().f[view[side]];
      name.scope = "row";
      name.append(sources[view[side]][1]);
      if (file !== null) {
        const link = inside("a", "file");
        link.href = currentSet().base[view[side]] + file;
        link.target = "_blank";
        link.title = "the file in full size, next to this page";
        name.append(" ", link);
      }
      measured.forEach((place) => {
        const value = figures(view[side])[place];
        const top = best([figures(view.left)[place], figures(view.right)[place]], data.metrics[place][1]);
        const cell = addCell(row, "td", value === null ? "–" : value.toFixed(data.metrics[place][2]));
        if (value !== null && value === top) cell.style.fontWeight = "700";
      });
    }
    at("scores").replaceChildren(table);
  }

  /* What is known of this photo in words: titles, each with names and texts. */
  function showTexts() {
    const parts = image().t || [];
    at("texts").hidden = !parts.length;
    at("main").classList.toggle("with-texts", parts.length > 0);
    at("texts").replaceChildren(...parts.flatMap(([title, entries]) => {
      const list = document.createElement("dl");
      list.append(...entries.flatMap(([name, text]) => [inside("dt", name), inside("dd", text)]));
      return [inside("h4", title), list];
    }));
  }

  function addCell(row, kind, text) {
    const cell = document.createElement(kind);
    cell.textContent = text;
    return row.appendChild(cell);
  }

  function buildAll() {
    panes = sources.map(([, title], source) => {
      const figure = document.createElement("figure"), pane = document.createElement("button");
      const img = document.createElement("img"), words = document.createElement("span");
      const caption = document.createElement("figcaption");
      pane.type = "button";
      pane.className = "pane";
      pane.setAttribute("aria-label", "show " + title + " on the right");
      img.draggable = false;
      pane.append(img, words);
      figure.append(pane, caption);
      handle(pane, () => { view.right = source; show(); });
      return { figure, pane, img, words, caption };
    });
    at("all").replaceChildren(...panes.map((each) => each.figure));
  }

  function showAll() {
    panes.forEach(({ figure, img, words, caption }, source) => {
      figure.hidden = !has(source);
      load(img, source, (text) => { words.textContent = text; });
      figure.classList.toggle("left", source === view.left);
      figure.classList.toggle("right", source === view.right);
      const values = figures(source).map((value, place) => value === null ? "" :
        data.metrics[place][0] + " " + value.toFixed(data.metrics[place][2])).filter(Boolean);
      caption.replaceChildren(inside("b", sources[source][1]), inside("span", values.join(" · ")));
      const picking = pickers(source);
      if (picking.length) {
        const mark = inside("span", "picked by " + picking.join(", "));
        mark.className = "picked";
        caption.append(mark);
      }
    });
  }

  /* The metrics that rate this source best of all methods on this photo; `data.picks` names their places. */
  function pickers(source) {
    return (data.picks || []).filter((place) => {
      const values = sources.map((_, other) => figures(other)[place]);
      const given = values.filter((value) => value !== null);
      return given.length > 1 && values[source] !== null && values[source] === best(given, data.metrics[place][1]);
    }).map((place) => data.metrics[place][0]);
  }

  function inside(kind, text) {
    const element = document.createElement(kind);
    element.textContent = text;
    return element;
  }

  function draw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; drawNow(); });
  }

  function drawNow() {
    const [width, height] = image().s;
    const wide = stage.clientWidth, high = Math.min(wide * height / width, window.innerHeight * .75);
    stage.style.height = high + "px";
    settle();
    stage.style.setProperty("--cut", view.cut + "%");
    at("line").value = view.cut;
    at("zoom").textContent = (view.zoom < 10 ? view.zoom.toFixed(1) : view.zoom.toFixed(0)) + "×";
    viewer.classList.toggle("enlarged", view.zoom > 1);
    stage.classList.toggle("enlarged", view.zoom > 1);
    place(stage, [at("left-image"), at("right-image")]);
    panes.forEach(({ pane, img }) => {
      pane.style.height = pane.clientWidth * high / wide + "px";
      place(pane, [img]);
    });
  }

  function place(box, images) {
    const [width, height] = image().s, [wide, high] = shownSize(box);
    const left = box.clientWidth / 2 - view.x * wide, top = box.clientHeight / 2 - view.y * high;
    for (const img of images) {
      if (!img.naturalWidth) continue;
      const scale = wide / img.naturalWidth;
      img.style.transform = "translate(" + left + "px," + top + "px) scale(" + scale + "," + high / img.naturalHeight + ")";
      img.classList.toggle("pixels", scale >= 3);
    }
  }

  /* The size, in CSS pixels, of the whole photo in a box at this zoom. */
  function shownSize(box) {
    const [width, height] = image().s;
    const scale = Math.min(box.clientWidth / width, box.clientHeight / height) * view.zoom;
    return [width * scale, height * scale];
  }

  /* Keep the photo over the stage: no empty margin where it is larger than the stage. */
  function settle() {
    view.zoom = clamp(view.zoom, 1, most);
    const [wide, high] = shownSize(stage);
    const half = [stage.clientWidth / wide / 2, stage.clientHeight / high / 2];
    view.x = half[0] >= .5 ? .5 : clamp(view.x, half[0], 1 - half[0]);
    view.y = half[1] >= .5 ? .5 : clamp(view.y, half[1], 1 - half[1]);
  }

  /* ---- zoom, pan and line ---- */

  function zoomAt(box, clientX, clientY, factor) {
    const edge = box.getBoundingClientRect();
    const right = clientX - edge.left - edge.width / 2, down = clientY - edge.top - edge.height / 2;
    const before = shownSize(box), point = [view.x + right / before[0], view.y + down / before[1]];
    view.zoom = clamp(view.zoom * factor, 1, most);
    const after = shownSize(box);
    view.x = point[0] - right / after[0];
    view.y = point[1] - down / after[1];
    draw();
  }

  function zoomMiddle(factor) {
    const edge = stage.getBoundingClientRect();
    zoomAt(stage, edge.left + edge.width / 2, edge.top + edge.height / 2, factor);
  }

  function pan(box, right, down) {
    const [wide, high] = shownSize(box);
    view.x -= right / wide;
    view.y -= down / high;
    draw();
  }

  function cutAt(clientX) {
    const edge = stage.getBoundingClientRect();
    view.cut = clamp((clientX - edge.left) / edge.width * 100, 0, 100);
    draw();
  }

  /* Pointer, wheel and double click in a box; `chosen` is called for a click that moved nothing. */
  function handle(box, chosen) {
    const pointers = new Map();
    let line = false, moved = 0, across = 0;
    const nearLine = (event) => {
      const edge = stage.getBoundingClientRect();
      return Math.abs(event.clientX - edge.left - edge.width * view.cut / 100) < (event.pointerType === "touch" ? 28 : 14);
    };
    box.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      if (!pointers.size) moved = across = 0;
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
      box.setPointerCapture(event.pointerId);
      line = box === stage && pointers.size === 1 && (view.zoom === 1 || nearLine(event));
      if (line && event.pointerType !== "touch") cutAt(event.clientX);
    });
    box.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const now = [event.clientX, event.clientY], right = now[0] - before[0], down = now[1] - before[1];
      moved += Math.abs(right) + Math.abs(down);
      across += right;
      if (pointers.size === 2) {
        const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, where]) => where);
        const apart = (where) => Math.hypot(where[0] - other[0], where[1] - other[1]);
        zoomAt(box, (now[0] + other[0]) / 2, (now[1] + other[1]) / 2, apart(now) / Math.max(apart(before), 1));
        pan(box, right / 2, down / 2);
      } else if (line) {
        /* a finger that starts to scroll the page moves a little sideways too */
        if (event.pointerType !== "touch" || Math.abs(across) > 6) cutAt(event.clientX);
      } else if (view.zoom > 1) {
        pan(box, right, down);
      }
      pointers.set(event.pointerId, now);
    });
    box.addEventListener("pointerup", (event) => {
      if (line && moved < 8 && event.pointerType === "touch") cutAt(event.clientX);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      box.addEventListener(end, (event) => { pointers.delete(event.pointerId); line = line && pointers.size === 1; });
    }
    box.addEventListener("wheel", (event) => {
      const lines = event.deltaMode === 1 ? 16 : 1, factor = Math.exp(-event.deltaY * lines * (event.ctrlKey ? .01 : .002));
      if (factor < 1 && view.zoom === 1) return;  /* nothing to zoom out of: the page scrolls */
      event.preventDefault();
      zoomAt(box, event.clientX, event.clientY, factor);
    }, { passive: false });
    if (box === stage) {
      box.addEventListener("dblclick", (event) => {
        if (view.zoom > 1) { view.zoom = 1; draw(); } else zoomAt(box, event.clientX, event.clientY, 4);
      });
    }
    if (chosen) box.addEventListener("click", () => { if (moved < 8) chosen(); moved = 0; });
  }

  /* ---- controls ---- */

  function step(by) {
    view.image = order[(order.indexOf(view.image) + by + order.length) % order.length];
    show();
  }

  function swap() {
    [view.left, view.right] = [view.right, view.left];
    show();
  }

  function whole() {
    view.zoom = 1;
    draw();
  }

  function chooseSet(place) {
    view.set = place;
    for (const side of ["left", "right"]) {
      [...at(side).options].forEach((option, source) => { option.disabled = !has(source); });
      if (!has(view[side])) view[side] = side === "left" ? 0 : Math.max(sources.findLastIndex((_, source) => has(source)), 0);
    }
    sortImages();
    const here = order.find((each) => image_of(each).d.some(Boolean));
    view.image = here === undefined ? order[0] : here;
    view.zoom = 1;
    show();
  }

  function image_of(place) {
    return currentSet().images[place];
  }

  const keys = {
    "+": () => zoomMiddle(1.25), "=": () => zoomMiddle(1.25), "-": () => zoomMiddle(.8), "_": () => zoomMiddle(.8),
    "0": whole, n: () => step(1), p: () => step(-1), s: swap,
  };
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = arrows[event.key];
    if (arrow && event.shiftKey) {
      pan(stage, -arrow[0] * 40, -arrow[1] * 40);
    } else if (arrow && arrow[0]) {
      view.cut = clamp(view.cut + 2 * arrow[0], 0, 100);
      draw();
    } else if (keys[event.key.toLowerCase()]) {
      keys[event.key.toLowerCase()]();
    } else if (/^[1-9]$/.test(event.key) && sources[event.key - 1] && has(event.key - 1)) {
      view.right = event.key - 1;
      show();
    } else {
      return;
    }
    event.preventDefault();
  });
  at("line").addEventListener("input", (event) => { view.cut = Number(event.target.value); draw(); });
  at("set").addEventListener("change", (event) => chooseSet(Number(event.target.value)));
  at("image").addEventListener("change", (event) => { view.image = Number(event.target.value); show(); });
  at("order").addEventListener("change", () => { sortImages(); view.image = order[0]; show(); });
  for (const side of ["left", "right"]) {
    at(side).addEventListener("change", (event) => { view[side] = Number(event.target.value); show(); });
  }
  at("previous").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
  at("swap").addEventListener("click", swap);
  at("whole").addEventListener("click", whole);
  at("in").addEventListener("click", () => zoomMiddle(1.5));
  at("out").addEventListener("click", () => zoomMiddle(1 / 1.5));
  window.addEventListener("resize", draw);

  fill(at("set"), data.sets.map((each) => each.title + " (" + each.images.length + ")"), 0);
  for (const side of ["left", "right"]) fill(at(side), sources.map(([, title], place) => (place + 1) + " " + title), view[side]);
  fillOrders();
  buildAll();
  handle(stage);
  chooseSet(0);
})();
