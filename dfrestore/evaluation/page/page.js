
'use strict';
(() => {
  document.documentElement.classList.add('js');
  const ZOOMS = [0, 1, 2, 4];
  const REACH = 24; // pixels beside the divider that still take hold of it
  const offsets = new WeakMap(); // stage -> [x, y]: how far its part is moved from the middle
  let drag = null;
  let wheeled = -Infinity; // when the wheel last changed the zoom

  const stageOf = (node) => (node instanceof Element ? node.closest('.photo')?.querySelector('.stage') : null);
  const onStage = (node) => (node instanceof Element ? node.closest('.stage') : null);
  const zoomOf = (stage) => Number(stage.dataset.zoom || 0);
  const numbers = (text) => text.split(' ').map(Number);
  const within = (value, most) => Math.max(-most, Math.min(most, value));

  // the dividers that are seen: one between two pictures, two between three
  const rangesOf = (stage) => [...stage.querySelectorAll('.split')].slice(0, stage.dataset.middle ? 2 : 1);
  const PLACES = ['--split', '--next'];

  function describe(stage) {
    const ranges = rangesOf(stage);
    const ends = [0, ...ranges.map((range) => Math.round(Number(range.value))), 100];
    const { left, middle, right } = stage.dataset;
    const shares = [left, middle, right].filter(Boolean).map((role, i) => {
      return `${stage.querySelector(`.${role} .tag`).textContent} ${ends[i + 1] - ends[i]} %`;
    });
    for (const range of ranges) range.setAttribute('aria-valuetext', shares.join(', '));
  }

  function setSplit(stage, percent, which = 0) {
    const ranges = rangesOf(stage);
    ranges[which].value = percent;
    const [value, other] = [Number(ranges[which].value), ranges[1 - which]];
    if (other && (which ? other.value > value : other.value < value)) other.value = value; // one pushes the other along
    ranges.forEach((range, i) => stage.style.setProperty(PLACES[i], `${range.value}%`));
    describe(stage);
  }

  function setView(stage, { left, middle, right }) {
    const before = Boolean(stage.dataset.middle);
    Object.assign(stage.dataset, { left, right });
    if (middle) stage.dataset.middle = middle;
    else delete stage.dataset.middle;
    if (before === Boolean(middle)) describe(stage);
    else (middle ? [33, 67] : [50]).forEach((percent, i) => setSplit(stage, percent, i));
  }

  function place(stage, x, y) {
    const [, , width, height] = numbers(stage.dataset.box);
    const zoom = zoomOf(stage);
    const w = width * zoom;
    const h = height * zoom;
    x = within(x, Math.max(0, (w - stage.clientWidth) / 2));
    y = within(y, Math.max(0, (h - stage.clientHeight) / 2));
    offsets.set(stage, [x, y]);
    const values = { x: Math.round((stage.clientWidth - w) / 2 + x), y: Math.round((stage.clientHeight - h) / 2 + y), w, h };
    for (const [name, value] of Object.entries(values)) stage.style.setProperty(`--${name}`, `${value}px`);
  }

  // at: where in the whole photo (0 to 1 each way) to look; without, the middle of the part or what is seen now
  function setZoom(stage, zoom, at) {
    const before = zoomOf(stage);
    const [left, top, width, height] = numbers(stage.dataset.box);
    if (!zoom) {
      delete stage.dataset.zoom;
      offsets.delete(stage);
    } else {
      for (const part of stage.querySelectorAll('.part')) {
        // decoded when first asked for; a photo that was not reduced is its own part
        if (!part.hasAttribute('src')) part.src = part.dataset.src || part.previousElementSibling.src;
      }
      stage.dataset.zoom = zoom;
      stage.style.setProperty('--least-w', `${width}px`);
      stage.style.setProperty('--least-h', `${height}px`);
      let [x, y] = (offsets.get(stage) || [0, 0]).map((value) => (before ? (value * zoom) / before : 0));
      if (at) {
        const size = numbers(stage.dataset.size);
        x = (left + width / 2 - at[0] * size[0]) * zoom;
        y = (top + height / 2 - at[1] * size[1]) * zoom;
      }
      place(stage, x, y);
    }
    for (const button of stage.closest('.photo').querySelectorAll('[data-to]')) {
      button.setAttribute('aria-pressed', String(Number(button.dataset.to) === zoom));
    }
    frame(stage, false);
  }

  function step(stage, direction, at) {
    const next = ZOOMS[Math.max(0, Math.min(ZOOMS.length - 1, ZOOMS.indexOf(zoomOf(stage)) + direction))];
    if (next !== zoomOf(stage)) setZoom(stage, next, zoomOf(stage) ? undefined : at);
  }

  // the place of the part in the whole photo
  function frame(stage, on) {
    const mark = stage.querySelector('.frame');
    const [left, top, width, height] = numbers(stage.dataset.box);
    const [full, high] = numbers(stage.dataset.size);
    mark.classList.toggle('on', on && !zoomOf(stage) && (width < full || height < high));
    mark.style.left = `${(100 * left) / full}%`;
    mark.style.top = `${(100 * top) / high}%`;
    mark.style.width = `${(100 * width) / full}%`;
    mark.style.height = `${(100 * height) / high}%`;
  }

  const placeOf = (stage, event) => {
    const box = stage.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };

  document.addEventListener('input', (event) => {
    if (event.target.matches('.split')) setSplit(onStage(event.target), event.target.value, event.target.matches('.next') ? 1 : 0);
    if (event.target.id === 'filter' || event.target.id === 'order') arrange();
  });

  document.addEventListener('click', (event) => {
    const button = event.target instanceof Element && event.target.closest('button');
    const stage = button && stageOf(button);
    if (!stage) return;
    if (button.dataset.to) setZoom(stage, Number(button.dataset.to));
    if (button.dataset.left) {
      for (const other of button.parentElement.children) other.setAttribute('aria-pressed', String(other === button));
      setView(stage, button.dataset);
    }
  });

  for (const [kind, on] of [['mouseover', true], ['mouseout', false], ['focusin', true], ['focusout', false]]) {
    document.addEventListener(kind, (event) => {
      if (event.target instanceof Element && event.target.matches('[data-to="1"]')) frame(stageOf(event.target), on);
    });
  }

  document.addEventListener('pointerdown', (event) => {
    const stage = onStage(event.target);
    if (!stage || event.button !== 0) return;
    const box = stage.getBoundingClientRect();
    const ranges = rangesOf(stage);
    const far = ranges.map((range) => Math.abs(event.clientX - box.left - (box.width * range.value) / 100));
    // the nearer divider; of two in one place, the one on the side that is pointed at
    const which = far.length > 1 && (far[1] < far[0] || (far[1] === far[0] && placeOf(stage, event)[0] * 100 > ranges[1].value)) ? 1 : 0;
    const held = far[which] <= REACH;
    const [x, y] = offsets.get(stage) || [0, 0];
    drag = { stage, held, which, pans: zoomOf(stage) > 0 && !held, left: event.clientX, top: event.clientY, x, y, moved: false };
    stage.setPointerCapture(event.pointerId);
    ranges[which].focus({ preventScroll: true });
  });

  document.addEventListener('pointermove', (event) => {
    if (!drag) return;
    const [right, down] = [event.clientX - drag.left, event.clientY - drag.top];
    drag.moved ||= Math.hypot(right, down) > 4;
    if (!drag.moved) return;
    drag.stage.classList.toggle('panning', drag.pans);
    if (drag.pans) place(drag.stage, drag.x + right, drag.y + down);
    else setSplit(drag.stage, 100 * placeOf(drag.stage, event)[0], drag.which);
  });

  document.addEventListener('pointerup', (event) => {
    if (!drag) return;
    const { stage, held, moved } = drag;
    stage.classList.remove('panning');
    drag = null;
    if (!moved && !held) setZoom(stage, zoomOf(stage) ? 0 : 1, placeOf(stage, event));
  });

  document.addEventListener('pointercancel', () => {
    drag?.stage.classList.remove('panning');
    drag = null;
  });

  for (const kind of ['mousedown', 'dragstart']) {
    document.addEventListener(kind, (event) => onStage(event.target) && event.preventDefault());
  }

  document.addEventListener('wheel', (event) => {
    const stage = onStage(event.target);
    if (!stage || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (event.timeStamp - wheeled < 150) return;
    wheeled = event.timeStamp;
    step(stage, event.deltaY < 0 ? 1 : -1, placeOf(stage, event));
  }, { passive: false });

  document.addEventListener('keydown', (event) => {
    if (!(event.target instanceof Element && event.target.matches('.split')) || event.ctrlKey || event.metaKey || event.altKey) return;
    const stage = onStage(event.target);
    const arrow = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (arrow && event.shiftKey && zoomOf(stage)) {
      const [x, y] = offsets.get(stage) || [0, 0];
      place(stage, x + 40 * arrow[0], y + 40 * arrow[1]);
    } else if (event.key === 'z' || event.key === 'Z') setZoom(stage, zoomOf(stage) ? 0 : 1);
    else if (event.key === 'Escape' && zoomOf(stage)) setZoom(stage, 0);
    else if (event.key === '+' || event.key === '-') step(stage, event.key === '+' ? 1 : -1);
    else return;
    event.preventDefault();
  });

  window.addEventListener('resize', () => {
    for (const stage of document.querySelectorAll('.stage[data-zoom]')) place(stage, ...(offsets.get(stage) || [0, 0]));
  });

  function arrange() {
    const list = document.getElementById('list');
    const wanted = document.getElementById('filter').value.trim().toLowerCase();
    const [key, direction] = document.getElementById('order').value.split(' ');
    const value = (photo) => Number(photo.dataset[key] ?? NaN);
    const photos = [...list.children].sort((a, b) => {
      const [left, right] = [value(a), value(b)];
      if (Number.isNaN(left) || Number.isNaN(right)) return Number.isNaN(left) - Number.isNaN(right);
      return left === right ? a.dataset.order - b.dataset.order : (left < right ? -1 : 1) * Number(direction);
    });
    let shown = 0;
    for (const photo of photos) {
      photo.hidden = !photo.querySelector('h3').textContent.toLowerCase().includes(wanted);
      shown += photo.hidden ? 0 : 1;
    }
    list.append(...photos);
    document.getElementById('count').textContent = `${shown} of ${photos.length}`;
  }
})();
