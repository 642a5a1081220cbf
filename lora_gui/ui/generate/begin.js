// The picture that a drawing begins with, and what is painted over it: what may change. What is painted goes to the
// window as a picture of its own, white where it may change; Draw waits for what is on its way there.
const ALL = 'Nothing is painted: all of it may change. Paint over a part, and only that changes.';
const PART = 'Only what is painted changes.';
const UNSENT = 'lora-studio-painted'; // what a page that is left had not sent yet: whose picture, and the paint
const none = element.querySelector('.none'), held = element.querySelector('.with'), says = element.querySelector('.says');
const files = element.querySelector('input[type=file]');
const painter = studio.painter(element, keep, again);
let shown = {}, kind = 'picture', coming = null, arrived = null, pressed = null;

const press = () => { const button = pressed; pressed = null; button?.click(); };

function arrange() {
  const now = JSON.parse(props.value || '{}'), before = shown;
  shown = now;
  none.hidden = Boolean(now.picture);
  held.hidden = !now.picture;
  if (now.picture && (now.picture !== before.picture || !painter.image.getAttribute('src'))) painter.show(now.picture, now.mask);
  else if (now.mask !== before.mask && !painter.isBusy() && !coming) painter.draw(now.mask);
  says.textContent = now.lost || (now.mask ? PART : ALL);
  element.closest('#begin').classList.toggle('masked', Boolean(now.mask));
  element.closest('#begin').classList.toggle('begun', Boolean(now.picture));
  if (now.came !== before.came) arrived?.();
}

addEventListener('pagehide', () => {
  if (painter.isBusy() || coming) sessionStorage.setItem(UNSENT, JSON.stringify([shown.picture, painter.data()]));
});

// What was painted just before the page was left, which nobody but this browser knows.
function again() {
  const [picture, data] = JSON.parse(sessionStorage.getItem(UNSENT) || '[]');
  sessionStorage.removeItem(UNSENT);
  if (picture && picture === shown.picture) painter.restore(data);
}

// Nothing painted is no mask.
function keep(mask) {
  if (coming) return false; // one after the other
  if (!mask) act('clear');
  else wait(() => mask.toBlob(blob => copy('mask', new File([blob], 'mask.png', { type: 'image/png' }))));
  return true;
}

function act(what) {
  if (coming) coming.then(() => act(what));
  else wait(() => trigger('select', { act: what }));
}

const send = (what, file) => wait(() => copy(what, file));
async function copy(what, file) {
  const copied = await studio.copied(file).catch(error => ({ why: error.why || '' }));
  trigger('upload', { kind: what, paths: copied.why === undefined ? [copied] : [], names: [file.name], why: copied.why || '' });
}

// Until the window has answered, and for ten seconds at most.
function wait(work) {
  const own = coming = new Promise(done => { arrived = done; setTimeout(done, 10000); });
  own.then(() => { if (coming === own) { coming = arrived = null; press(); } });
  work();
}

document.addEventListener('click', event => {
  const button = event.target.closest?.('#draw, #draw-again');
  if (!button || (!painter.isBusy() && !coming)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  pressed = button;
  if (painter.isBusy()) painter.settle();
}, true);

element.addEventListener('click', event => {
  const what = event.target.closest('button')?.dataset.do;
  if (what === 'pick' || what === 'mask') {
    kind = what === 'mask' ? 'mask' : 'picture';
    files.click();
  } else if (what) { painter.stop(); painter.draw(''); act(what); }
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
