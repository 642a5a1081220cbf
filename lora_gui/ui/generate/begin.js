// The picture that a drawing begins with, and what is painted over it: what may change. What is painted goes to the
// window as a picture of its own, white where it may change; Draw waits for what is on its way there.
const LONGEST = 1024, SETTLED = 500; // px of the mask; ms after a stroke
const ALL = 'Nothing is painted: all of it may change. Paint over a part, and only that changes.';
const PART = 'Only what is painted changes.';
const UNSENT = 'lora-studio-painted'; // what a page that is left had not sent yet: whose picture, and the paint
const board = element.querySelector('.board'), image = board.querySelector('img'), canvas = board.querySelector('canvas');
const none = element.querySelector('.none'), held = element.querySelector('.with'), says = element.querySelector('.says');
const files = element.querySelector('input[type=file]'), size = element.querySelector('input[type=range]');
const brush = canvas.getContext('2d', { willReadFrequently: true });
let shown = {}, kind = 'picture', tool = 'paint', last = null, later = 0, coming = null, arrived = null, pressed = null;

const press = () => { const button = pressed; pressed = null; button?.click(); };
const tint = () => getComputedStyle(element).getPropertyValue('--accent');

function arrange() {
  const now = JSON.parse(props.value || '{}'), before = shown;
  shown = now;
  none.hidden = Boolean(now.picture);
  held.hidden = !now.picture;
  if (now.picture && now.picture !== before.picture) image.src = now.picture;
  if (now.mask !== before.mask && !later && !coming) draw(now.mask);
  says.textContent = now.lost || (now.mask ? PART : ALL);
  element.closest('#begin').classList.toggle('masked', Boolean(now.mask));
  element.closest('#begin').classList.toggle('begun', Boolean(now.picture));
  if (now.came !== before.came) arrived?.();
}

image.addEventListener('load', () => {
  const scale = Math.min(1, LONGEST / Math.max(image.naturalWidth, image.naturalHeight));
  canvas.width = Math.max(1, Math.round(image.naturalWidth * scale));
  canvas.height = Math.max(1, Math.round(image.naturalHeight * scale));
  draw(shown.mask).then(again);
});

addEventListener('pagehide', () => {
  if (later || coming) sessionStorage.setItem(UNSENT, JSON.stringify([shown.picture, canvas.toDataURL()]));
});

// What was painted just before the page was left, which nobody but this browser knows.
async function again() {
  const [picture, data] = JSON.parse(sessionStorage.getItem(UNSENT) || '[]'), paint = new Image();
  sessionStorage.removeItem(UNSENT);
  if (!picture || picture !== shown.picture) return;
  paint.src = data;
  await paint.decode().catch(() => {});
  brush.clearRect(0, 0, canvas.width, canvas.height);
  brush.drawImage(paint, 0, 0);
  keep();
}

// A mask of the window, white where it may change, as paint over the picture.
async function draw(address) {
  brush.clearRect(0, 0, canvas.width, canvas.height);
  if (!address) return;
  const mask = new Image();
  mask.src = address;
  await mask.decode().catch(() => {});
  if (address !== shown.mask || !mask.naturalWidth) return;
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

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * canvas.width, (event.clientY - box.top) / box.height * canvas.height];
}

function stroke(event) {
  const next = place(event);
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
  later = setTimeout(keep, SETTLED);
});

// What is painted, as the window takes it; nothing painted is no mask.
function keep() {
  if (coming) { later = setTimeout(keep, SETTLED); return; } // one after the other
  later = 0;
  const { data } = brush.getImageData(0, 0, canvas.width, canvas.height);
  if (!data.some((value, at) => at % 4 === 3 && value > 127)) { act('clear'); return; }
  const mask = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height });
  const paper = mask.getContext('2d'), pixels = paper.createImageData(mask.width, mask.height);
  for (let at = 0; at < data.length; at += 4) pixels.data.set([data[at + 3], data[at + 3], data[at + 3], 255], at);
  paper.putImageData(pixels, 0, 0);
  mask.toBlob(blob => send('mask', new File([blob], 'mask.png', { type: 'image/png' })));
}

function act(what) {
  if (coming) coming.then(() => act(what));
  else wait(() => trigger('select', { act: what }));
}

function send(what, file) {
  wait(async () => {
    const copy = await studio.copied(file).catch(error => ({ why: error.why || '' }));
    trigger('upload', { kind: what, paths: copy.why === undefined ? [copy] : [], names: [file.name], why: copy.why || '' });
  });
}

// Until the window has answered, and for ten seconds at most.
function wait(work) {
  const own = coming = new Promise(done => { arrived = done; setTimeout(done, 10000); });
  own.then(() => { if (coming === own) { coming = arrived = null; press(); } });
  work();
}

document.addEventListener('click', event => {
  const button = event.target.closest?.('#draw, #draw-again');
  if (!button || (!later && !coming)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  pressed = button;
  if (later) { clearTimeout(later); keep(); }
}, true);

element.addEventListener('click', event => {
  const button = event.target.closest('button'), what = button?.dataset.do;
  if (button?.dataset.tool) {
    tool = button.dataset.tool;
    for (const one of element.querySelectorAll('[data-tool]')) one.setAttribute('aria-pressed', one === button);
  } else if (what === 'pick' || what === 'mask') {
    kind = what === 'mask' ? 'mask' : 'picture';
    files.click();
  } else if (what) { clearTimeout(later); later = 0; draw(''); act(what); }
});
files.addEventListener('change', () => {
  if (files.files.length) send(kind, files.files[0]);
  files.value = '';
});
for (const kind of ['dragover', 'dragleave', 'drop']) element.closest('#begin').addEventListener(kind, event => {
  element.classList.toggle('over', kind === 'dragover');
  if (kind === 'dragleave' || !event.dataTransfer.types.includes('Files')) return;
  event.preventDefault();
  if (kind === 'drop' && event.dataTransfer.files.length) send('picture', event.dataTransfer.files[0]);
});
watch('value', arrange);
arrange();
