const $ = id => document.getElementById(id);
const rows = [...document.querySelectorAll('.matrix tr[data-level]')];
const names = [...document.querySelectorAll('.matrix th.r')].map(head => head.title);
const outcomes = new Map(rows.map(row =>
  [row, [...row.cells].slice(1).map(cell => cell.classList[1])]));

function wanted(row) {
  const all = outcomes.get(row);
  const looked = $('runtime').value === '' ? all : [all[Number($('runtime').value)]];
  const verdict = $('verdict').value;
  const section = row.parentNode.dataset.section;
  return section.startsWith($('section').value)
    && (!$('level').value || row.dataset.level === $('level').value)
    && (!verdict || (verdict === 'differ'
      ? new Set(all.filter(outcome => !['skip', 'untested'].includes(outcome))).size > 1
      : looked.includes(verdict)))
    && row.cells[0].textContent.toLowerCase().includes($('words').value.trim().toLowerCase());
}

function filter() {
  let shown = 0;
  for (const row of rows) {
    row.hidden = !wanted(row);
    shown += !row.hidden;
  }
  for (const body of document.querySelectorAll('.matrix tbody'))
    body.hidden = ![...body.rows].slice(1).some(row => !row.hidden);
  $('shown').textContent = `${shown} of ${rows.length} sentences`;
}

function tell(cell) {
  const box = $('reason');
  const line = (label, words) => {
    const div = document.createElement('div');
    const strong = document.createElement('b');
    strong.textContent = label + ' ';
    div.append(strong, words);
    return div;
  };
  const row = cell.parentNode;
  document.querySelector('td.chosen')?.classList.remove('chosen');
  cell.classList.add('chosen');
  box.replaceChildren(
    line(names[cell.cellIndex - 1] + ':', row.cells[0].textContent),
    line('Did:', row.dataset.did), line('Saw:', cell.title));
}

for (const kind of ['mouseover', 'click'])
  document.addEventListener(kind, event => {
    const cell = event.target.closest('td.o');
    if (cell && cell.title) tell(cell);
  });
document.addEventListener('keydown', event => {
  if (event.key === 'Escape') $('reason').replaceChildren();
});
$('filters').addEventListener('input', filter);
$('filters').addEventListener('reset', () => setTimeout(filter));
filter();
