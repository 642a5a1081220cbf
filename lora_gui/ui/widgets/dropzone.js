// Where pictures come in: dropped files and folders, or chosen ones; copied one by one, then named to the window.
const TOGETHER = 4, MOST = 5000, ANSWERS = 5000; // ms that the next drop waits for the answer to the one before
const NAMES = new Intl.Collator(undefined, { numeric: true });
const TYPED = 'input:not([type=radio], [type=checkbox], [type=range]), textarea, [contenteditable]';
let sending = Promise.resolve(), answered = () => {}, busy = 0, said = []; // `busy`: how many drops are not taken in yet; what was said last

function say(words, share) { // `share` below 0 for unknown
  said = [words, share];
  const line = element.querySelector('.zone-busy');
  element.querySelector('.zone').classList.toggle('busy', words !== '');
  line.querySelector('span').textContent = words;
  const done = line.querySelector('i');
  done.className = share < 0 ? 'unknown' : '';
  done.style.width = share < 0 ? '' : `${Math.round(share * 100)}%`;
  const all = (_, of) => `Copying ${of} file${of === '1' ? '' : 's'}`;
  const aloud = element.querySelector('.aloud'), once = words.replace(/^Copying \d+ of (\d+)$/, all);
  if (aloud.textContent !== once) aloud.textContent = once; // and not each file
}

// Every file below an entry, with its folders in its name; what cannot be read is named, and stops nothing.
async function inside(entry) {
  const name = entry.fullPath.replace(/^\/+/, '');
  try {
    if (entry.isFile) return [{ name, file: await new Promise((done, failed) => entry.file(done, failed)) }];
    const reader = entry.createReader(), found = [];
    for (;;) {
      const some = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!some.length) return found;
      for (const one of some) found.push(...await inside(one));
    }
  } catch { return [{ name, file: null }]; }
}

// What the studio leaves out by its name alone is not even copied; the folder that was chosen may be called anything.
function hidden({ name }) {
  const parts = name.split('/');
  return parts.slice(parts.length > 1 ? 1 : 0).some(part => part.startsWith('.') || part === 'Thumbs.db' || part === '@eaDir');
}

// One drop after the other, in the order in which they came.
function send(files) {
  const work = async () => copy(await files);
  busy += 1;
  sending = sending.then(work, work);
}

async function copy(files) {
  // By name, as on the command line: a browser lists a folder as the disk does, and the file that was dragged first.
  const wanted = files.filter(one => !hidden(one)).sort((one, other) => NAMES.compare(one.name, other.name));
  const skipped = files.filter(hidden).map(one => one.name).slice(0, MOST);
  const sent = [], failed = [], why = [];
  let next = 0, done = 0;
  async function work() {
    while (next < wanted.length) {
      const at = next++, { name, file } = wanted[at];
      say(`Copying ${done + 1} of ${wanted.length}`, done / wanted.length);
      try { sent[at] = [await studio.copied(file), name]; } catch (error) { failed.push(name); why.push(error.why || ''); }
      done += 1;
    }
  }
  if (!wanted.length && files.length) failed.push(files[0].name);
  await Promise.all(Array.from({ length: TOGETHER }, work));
  look();
  const came = sent.filter(Boolean);
  const answer = new Promise(done => { answered = done; setTimeout(done, ANSWERS); });
  trigger('upload', { paths: came.map(one => one[0]), names: came.map(one => one[1]), skipped, failed, why });
  await answer; // or two requests could overtake each other
}

function look() {
  say(element.querySelector('.zone').dataset.looking, -1);
}

// A new value makes the zone idle again; it is not, where another drop is on its way.
watch('value', () => {
  answered();
  busy = Math.max(busy - 1, 0);
  if (busy) say(...said);
});

function chosen(files) {
  return Array.from(files, file => ({ name: file.webkitRelativePath || file.name, file }));
}

element.addEventListener('click', event => {
  const kind = event.target.closest('[data-pick]')?.dataset.pick;
  if (kind === 'examples') { busy += 1; look(); trigger('select', {}); }
  else if (kind) element.querySelector(`input.${kind}`).click();
});
element.addEventListener('change', event => {
  if (!event.target.files?.length) return;
  send(chosen(event.target.files));
  event.target.value = ''; // or a browser would not say that the same files were chosen once more
});
element.addEventListener('dragover', event => {
  event.preventDefault();
  element.querySelector('.zone').classList.add('over');
});
element.addEventListener('dragleave', event => {
  if (!element.contains(event.relatedTarget)) element.querySelector('.zone').classList.remove('over');
});
element.addEventListener('drop', event => {
  event.preventDefault();
  element.querySelector('.zone').classList.remove('over');
  const entries = Array.from(event.dataTransfer.items).map(item => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = chosen(event.dataTransfer.files);
  send(entries.length ? Promise.all(entries.map(inside)).then(found => found.flat()) : files);
});
// Pictures that are pasted, where the zone for pictures is seen and nothing is being typed.
document.addEventListener('paste', event => {
  const files = event.clipboardData?.files ?? [], wants = element.querySelector('input.files')?.accept.startsWith('image');
  if (!files.length || !wants || element.offsetParent === null || event.target.closest?.(TYPED)) return;
  event.preventDefault();
  send(chosen(files));
});
