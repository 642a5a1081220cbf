// Where pictures come in: dropped files and folders, or chosen ones; copied one by one, then named to the window.
const TOGETHER = 4;

function say(words, share) {
  const line = element.querySelector('.zone-busy');
  element.querySelector('.zone').classList.toggle('busy', words !== '');
  line.querySelector('span').textContent = words;
  line.querySelector('i').style.width = `${Math.round(share * 100)}%`;
}

async function inside(entry) {
  if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
  const reader = entry.createReader(), found = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) break;
    for (const one of some) found.push(...await inside(one));
  }
  return found;
}

async function send(files) {
  const wanted = files.filter(file => !file.name.startsWith('.') && file.name !== 'Thumbs.db');
  const paths = [], failed = [];
  let next = 0, done = 0;
  async function work() {
    while (next < wanted.length) {
      const at = next++;
      say(`Copying ${done + 1} of ${wanted.length}`, done / wanted.length);
      try { paths[at] = (await upload(wanted[at])).path; } catch { failed.push(wanted[at].name); }
      done += 1;
    }
  }
  if (!wanted.length && files.length) failed.push(files[0].name);
  await Promise.all(Array.from({ length: TOGETHER }, work));
  say('Looking at the pictures', 1);
  trigger('upload', { paths: paths.filter(Boolean), failed });
}

element.addEventListener('click', event => {
  const kind = event.target.closest('[data-pick]')?.dataset.pick;
  if (kind === 'examples') { say('Looking at the pictures', 1); trigger('select', {}); }
  else if (kind) element.querySelector(`input.${kind}`).click();
});
element.addEventListener('change', event => {
  if (event.target.files?.length) send(Array.from(event.target.files));
});
element.addEventListener('dragover', event => {
  event.preventDefault();
  element.querySelector('.zone').classList.add('over');
});
element.addEventListener('dragleave', event => {
  if (!element.contains(event.relatedTarget)) element.querySelector('.zone').classList.remove('over');
});
element.addEventListener('drop', async event => {
  event.preventDefault();
  element.querySelector('.zone').classList.remove('over');
  const entries = Array.from(event.dataTransfer.items).map(item => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = Array.from(event.dataTransfer.files);
  send(entries.length ? (await Promise.all(entries.map(inside))).flat() : files);
});
