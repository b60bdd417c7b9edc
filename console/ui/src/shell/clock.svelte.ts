/** The time, for "2 hours ago" and for clocks that run out. It moves every half minute. */
class Clock {
  now = $state(Date.now());

  constructor() {
    setInterval(() => (this.now = Date.now()), 30_000);
  }
}

export const clock = new Clock();
