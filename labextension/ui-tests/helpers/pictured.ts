/**
 * The notebook of the pictures: it needs nothing but Python, and its last cell runs on and on.
 */

/** What it imports, `report.py`. */
export const REPORT = `import math, random
from IPython.display import SVG

def losses(seed, epochs=60):
    random.seed(seed)
    return [0.2 + 2 * math.exp(-n / 12) + random.random() * 0.12 for n in range(epochs)]

def curve(loss):
    points = " ".join(f"{8 * n},{150 - 62 * each:.0f}" for n, each in enumerate(loss))
    return SVG(f"""<svg xmlns="http://www.w3.org/2000/svg" width="490" height="160">
      <path d="M0 150H480M0 90H480M0 30H480" stroke="gray" stroke-opacity="0.3"/>
      <polyline points="{points}" fill="none" stroke="#e46e2e" stroke-width="2.5"/>
    </svg>""")
`;

const LOSS = `import time
from report import curve, losses

loss = losses(seed=7)
curve(loss)`;

const TRAINING = `for epoch, value in enumerate(losses(seed=8, epochs=1000), 1):
    time.sleep(min(epoch / 4, 30))
    print(f"epoch {epoch:2}   loss {value:.3f}")`;

let cells = 0;

function cell(type: 'code' | 'markdown', source: string): object {
  cells += 1;
  return {
    cell_type: type,
    id: `cell-${String(cells)}`,
    metadata: {},
    source,
    ...(type === 'code' && { execution_count: null, outputs: [] })
  };
}

/** For a kernelspec of that name. */
export function notebook(kernelspec: string): object {
  return {
    cells: [
      cell(
        'markdown',
        '# Demand forecast\n\nTrained on two years of orders. The last run, for comparison:'
      ),
      cell('code', LOSS),
      cell('markdown', 'Now with the holidays as a feature:'),
      cell('code', TRAINING)
    ],
    metadata: {
      kernelspec: {
        name: kernelspec,
        display_name: 'Python 3 (Data Science)',
        language: 'python'
      }
    },
    nbformat: 4,
    nbformat_minor: 5
  };
}
