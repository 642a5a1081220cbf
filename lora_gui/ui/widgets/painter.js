// Paint over a picture: a brush, an eraser, and what is painted as a picture of its own, white where it is painted.
// `place` holds a .board with an image and a canvas, buttons with a data-tool, and the size of the brush. `settled` is
// called a moment after a stroke with that picture, or null where nothing is painted; where it returns false, again.
studio.painter = (place, settled, loaded = () => {}) => {
  const LONGEST = 1024, SETTLED = 500; // px of what is painted; ms after a stroke
  const board = place.querySelector('.board'), image = board.querySelector('img'), canvas = board.querySelector('canvas');
  const size = place.querySelector('input[type=range]'), brush = canvas.getContext('2d', { willReadFrequently: true });
  let tool = 'paint', last = null, later = 0, shown = '';
  const tint = () => getComputedStyle(place).getPropertyValue('--accent');

  image.addEventListener('load', () => {
    const scale = Math.min(1, LONGEST / Math.max(image.naturalWidth, image.naturalHeight));
    canvas.width = Math.max(1, Math.round(image.naturalWidth * scale));
    canvas.height = Math.max(1, Math.round(image.naturalHeight * scale));
    draw(shown).then(() => { canvas.hidden = false; loaded(); });
  });

  image.addEventListener('error', () => {
    if (!image.getAttribute('src')) return;
    image.removeAttribute('src'); // it is asked for again when it is opened again
    studio.say('The picture could not be shown. Open it again.');
  });

  // Another picture and its mask. Before both are there nothing can be painted, or they would wipe it away.
  function show(picture, mask) {
    stop();
    last = null;
    shown = mask;
    canvas.hidden = true;
    image.src = picture;
  }

  // A mask, white where it counts, as paint over the picture; what is being painted meanwhile stays.
  async function draw(address) {
    shown = address;
    const mask = new Image();
    if (address) {
      mask.src = address;
      await mask.decode().catch(() => {});
    }
    if (address !== shown || later) return;
    brush.clearRect(0, 0, canvas.width, canvas.height);
    if (!mask.naturalWidth) return;
    brush.globalCompositeOperation = 'source-over';
    brush.drawImage(mask, 0, 0, canvas.width, canvas.height);
    const pixels = brush.getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 0; at < pixels.data.length; at += 4) pixels.data[at + 3] = pixels.data[at];
    brush.putImageData(pixels, 0, 0);
    brush.globalCompositeOperation = 'source-in';
    brush.fillStyle = tint();
    brush.fillRect(0, 0, canvas.width, canvas.height);
    brush.globalCompositeOperation = 'source-over';
  }

  function spot(event) {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * canvas.width, (event.clientY - box.top) / box.height * canvas.height];
  }

  function stroke(event) {
    const next = spot(event);
    brush.globalCompositeOperation = tool === 'erase' ? 'destination-out' : 'source-over';
    Object.assign(brush, { strokeStyle: tint(), lineCap: 'round', lineJoin: 'round' });
    brush.lineWidth = size.value / 100 * Math.max(canvas.width, canvas.height);
    brush.beginPath();
    brush.moveTo(...(last || next));
    brush.lineTo(...next);
    brush.stroke();
    brush.globalCompositeOperation = 'source-over';
    last = next;
  }

  canvas.addEventListener('pointerdown', event => {
    if (event.button) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    clearTimeout(later);
    later = -1; // not while it is being painted
    stroke(event);
  });
  canvas.addEventListener('pointermove', event => { if (last) stroke(event); });
  for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, () => {
    if (!last) return;
    last = null;
    later = setTimeout(settle, SETTLED);
  });

  // What is painted; null where nothing is.
  function painted() {
    const { data } = brush.getImageData(0, 0, canvas.width, canvas.height);
    if (!data.some((value, at) => at % 4 === 3 && value > 127)) return null;
    const mask = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height });
    const paper = mask.getContext('2d'), pixels = paper.createImageData(mask.width, mask.height);
    for (let at = 0; at < data.length; at += 4) pixels.data.set([data[at + 3], data[at + 3], data[at + 3], 255], at);
    paper.putImageData(pixels, 0, 0);
    return mask;
  }

  function settle() {
    clearTimeout(later);
    later = settled(painted()) === false ? setTimeout(settle, SETTLED) : 0;
  }

  function stop() { clearTimeout(later); later = 0; }

  // Paint that this browser alone knows, put back over the picture.
  async function restore(data) {
    const paint = new Image();
    paint.src = data;
    await paint.decode().catch(() => {});
    brush.clearRect(0, 0, canvas.width, canvas.height);
    brush.drawImage(paint, 0, 0);
    settle();
  }

  place.addEventListener('click', ({ target }) => {
    const chosen = target.closest('[data-tool]');
    if (!chosen) return;
    tool = chosen.dataset.tool;
    for (const one of place.querySelectorAll('[data-tool]')) one.setAttribute('aria-pressed', one === chosen);
  });
  return { image, draw, settle, stop, painted, restore, isBusy: () => later !== 0, data: () => canvas.toDataURL(), show };
};
