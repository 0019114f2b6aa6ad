import * as React from 'react';

import { useTicking } from './hooks';
import type { IContext } from './context';

/** Text that changes with time. Screen readers never announce it, as it would never end. */
export function Ticking(props: {
  context: Pick<IContext, 'ticker' | 'now'>;
  text: (now: number) => string;
}): React.JSX.Element {
  const { context, text } = props;
  return <>{useTicking(context.ticker, () => text(context.now()))}</>;
}
