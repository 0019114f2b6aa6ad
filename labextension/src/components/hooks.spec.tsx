import { Signal } from '@lumino/signaling';
import { render, screen } from '@testing-library/react';
import * as React from 'react';

import { useSignal } from './hooks';

test('a change between rendering and listening is shown, not left to the next one', () => {
  const source = { count: 0 };
  const changed = new Signal<object, void>(source);

  /** Its effects run before its parent's. */
  function Changes(): null {
    React.useEffect(() => {
      source.count += 1;
      changed.emit();
    }, []);
    return null;
  }
  function Shows(): React.JSX.Element {
    useSignal(changed);
    return (
      <p>
        {source.count} <Changes />
      </p>
    );
  }

  render(<Shows />);
  expect(screen.getByText('1')).toBeInTheDocument();
});
