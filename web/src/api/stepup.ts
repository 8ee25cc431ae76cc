/** Asked is somebody who waits until the person has proved again who they are. */
type Asked = { done: () => void; failed: (error: Error) => void };

let ask: ((asked: Asked) => void) | undefined;

/** onStepUp says who asks the person. There is one such place in the page. */
export function onStepUp(place: (asked: Asked) => void): () => void {
  ask = place;
  return () => {
    ask = undefined;
  };
}

/** stepUp returns when the person has proved again who they are, and throws when
    they would not. */
export function stepUp(): Promise<void> {
  return new Promise((done, failed) => {
    if (ask) ask({ done, failed });
    else failed(new Error("nobody asks"));
  });
}
