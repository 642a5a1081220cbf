// The mask of a picture, painted large: what is painted is learnt, the rest hardly or not at all.
const ALL = 'Nothing is painted: all of it is learnt. Paint what matters, and the rest counts little.';
const PART = 'What is painted is learnt; the rest counts little once Learn by masks is on in Details.';
const easel = part('easel'), painter = studio.painter(easel, painted);
let open_ = 0, untold = 0; // whose mask it is; strokes that the window has not answered yet

function open(n) {
  if (!cells.has(n)) return;
  if (easel.hidden || open_ !== n) {
    if (open_ && painter.isBusy()) painter.settle();
    open_ = n;
    easel.hidden = false;
    board(n);
  } else close();
}
const board = n => send('look', { numbers: [], board: n });
function close() {
  if (painter.isBusy()) painter.settle();
  open_ = 0;
  easel.hidden = true;
}
function shown({ n, picture, mask }) {
  if (n !== open_) return;
  const isNew = painter.image.getAttribute('src') !== picture;
  if (!isNew && (painter.isBusy() || untold)) return; // what is painted is newer
  easel.querySelector('.whose').textContent = `Mask of ${cells.get(n).data.name}`;
  painter.image.alt = cells.get(n).data.name;
  easel.querySelector('.says').textContent = mask ? PART : ALL;
  if (isNew) painter.show(picture, mask);
  else painter.draw(mask);
  easel.scrollIntoView({ block: 'nearest' });
}
const sent = mask => ({ n: open_, png: mask?.toDataURL('image/png') ?? '' });
async function painted(mask) {
  easel.querySelector('.says').textContent = mask ? PART : ALL;
  const cell = cells.get(open_), painting = sent(mask);
  if (!cell) return;
  untold += 1;
  await tellOf(cell, () => ({ act: 'mask', ...painting }));
  untold -= 1;
  others(); // whether masks are learnt by is said beside Start
}
function left() { // the page, before a stroke has settled
  if (open_ && painter.isBusy()) studio.beacon('desk', { act: 'mask', set: state.set, ...sent(painter.painted()) });
}
easel.addEventListener('keydown', event => { if (event.key === 'Escape') { close(); go(current); } });
Object.assign(ACTS, {
  close: () => { close(); go(current); },
  clear: () => { painter.stop(); painter.draw(''); painted(null); },
});
function arranged() {
  if (open_ && !cells.has(open_)) close();
  else if (open_ && !painter.isBusy()) board(open_); // undone, perhaps
}
// Start waits for what was typed, moved and painted just before: it is learnt, too.
studio.settled = async () => {
  if (open_ && painter.isBusy()) painter.settle();
  save();
  await turn;
};
const told = () => arrange(JSON.parse(props.value || '{}'));
watch('value', () => { told(); pages.postMessage(state.set); });
wide(false);
told();
