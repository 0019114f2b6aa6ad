import * as React from 'react';

import { useTicking } from './hooks';
import type { IContext } from './context';

/** Text that changes with the time. Never said aloud by itself: it would talk without end. */
export function Ticking(props: {
  context: Pick<IContext, 'ticker' | 'now'>;
  text: (now: number) => string;
}): React.JSX.Element {
  const { context, text } = props;
  return <>{useTicking(context.ticker, () => text(context.now()))}</>;
}
