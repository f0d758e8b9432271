//! Where spans wait for their batch, and what takes them to the collector. Room is bounded, and whoever brings a span
//! never waits: without room, or without a collector that takes it, it is lost, and the log says so once.

use super::settings::Batch;
use opentelemetry_sdk::trace::SpanData;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// As many as go together are here.
    ready: Notify,
    limits: Batch,
}

#[derive(Debug, Default)]
struct Waiting {
    spans: VecDeque<SpanData>,
    /// There was no room for so many since somebody looked.
    left_out: usize,
}

/// Who takes spans where they belong.
pub(super) trait Export: Send + 'static {
    /// The error says why they are lost.
    fn export(&self, spans: Vec<SpanData>) -> impl Future<Output = Result<(), String>> + Send;
}

impl Queue {
    pub(super) fn new(limits: Batch) -> Queue {
        Queue { waiting: Mutex::default(), ready: Notify::new(), limits }
    }

    /// From any thread.
    pub(super) fn push(&self, span: SpanData) {
        let mut waiting = self.waiting();
        if waiting.spans.len() >= self.limits.most_waiting {
            waiting.left_out += 1;
            return;
        }
        waiting.spans.push_back(span);
        if waiting.spans.len() == self.limits.most_together {
            self.ready.notify_one();
        }
    }

    /// The next batch, and how many were left out.
    fn take(&self) -> (Vec<SpanData>, usize) {
        let mut waiting = self.waiting();
        let count = waiting.spans.len().min(self.limits.most_together);
        let batch = waiting.spans.drain(..count).collect();
        (batch, std::mem::take(&mut waiting.left_out))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes batches to the collector, each when it is full or `delay` old, until `last` says that the next ones are the last.
pub(super) async fn deliver(
    queue: Arc<Queue>,
    exporter: impl Export,
    delay: Duration,
    last: CancellationToken,
) {
    let mut trouble = Trouble::default();
    loop {
        let is_last = last.is_cancelled();
        while let (batch, left_out) = queue.take()
            && (!batch.is_empty() || left_out > 0)
        {
            let count = batch.len();
            let sent = exporter.export(batch).await;
            tell(&trouble.after(count, left_out, sent));
        }
        if is_last {
            return trouble.tell_what_was_lost();
        }
        tokio::select! {
            () = queue.ready.notified() => {}
            () = tokio::time::sleep(delay) => {} // why: spans are to go together
            () = last.cancelled() => {}
        }
    }
}

/// Whether spans are being lost, so that a collector that is down for a night is two lines and not thousands.
#[derive(Debug, Default)]
struct Trouble {
    /// In all, while it lasts.
    lost: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum News {
    None,
    Begins { lost: usize, why: String },
    Over { lost: usize },
}

impl Trouble {
    /// What a batch tells that is new.
    fn after(&mut self, count: usize, left_out: usize, sent: Result<(), String>) -> News {
        let lost = left_out + if sent.is_err() { count } else { 0 };
        if lost == 0 {
            return self.over();
        }
        let begins = self.lost == 0;
        self.lost += lost;
        let why = sent.err().unwrap_or_else(|| NO_ROOM.into());
        if begins { News::Begins { lost, why } } else { News::None }
    }

    fn over(&mut self) -> News {
        match std::mem::take(&mut self.lost) {
            0 => News::None,
            lost => News::Over { lost },
        }
    }

    /// Where nothing comes any more.
    fn tell_what_was_lost(&self) {
        if self.lost > 0 {
            tracing::warn!(lost = self.lost, "spans were lost, up to the last");
        }
    }
}

const NO_ROOM: &str =
    "more sessions end than the collector takes; OTEL_BSP_MAX_QUEUE_SIZE is how many may wait";

fn tell(news: &News) {
    match news {
        News::None => {}
        News::Begins { lost, why } => {
            tracing::warn!(lost, why = why.as_str(), "spans are lost; sessions do not notice");
        }
        News::Over { lost } => tracing::info!(lost, "no more spans are lost; so many were"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::any_span;
    use super::*;
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    const LIMITS: Batch = Batch { delay: Duration::from_secs(5), most_waiting: 10, most_together: 4 };

    /// Says how many it was given.
    struct Counting(UnboundedSender<usize>, Result<(), String>);

    impl Export for Counting {
        async fn export(&self, spans: Vec<SpanData>) -> Result<(), String> {
            self.0.send(spans.len()).unwrap();
            self.1.clone()
        }
    }

    fn delivering(sent: Result<(), String>) -> (Arc<Queue>, UnboundedReceiver<usize>, CancellationToken) {
        let ((counts, counted), queue) = (unbounded_channel(), Arc::new(Queue::new(LIMITS)));
        let last = CancellationToken::new();
        tokio::spawn(deliver(queue.clone(), Counting(counts, sent), LIMITS.delay, last.clone()));
        (queue, counted, last)
    }

    fn fill(queue: &Queue, count: usize) {
        (0..count).for_each(|_| queue.push(any_span()));
    }

    #[test]
    fn room_is_bounded_and_what_is_left_out_is_counted() {
        let queue = Queue::new(LIMITS);
        fill(&queue, 13);
        assert_eq!(queue.waiting().spans.len(), 10);
        let taken = std::iter::repeat_with(|| queue.take()).map(|(batch, left_out)| (batch.len(), left_out));
        assert_eq!(taken.take(4).collect::<Vec<_>>(), [(4, 3), (4, 0), (2, 0), (0, 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_goes_when_it_is_full_and_else_in_time() {
        let (queue, mut counted, _last) = delivering(Ok(()));
        tokio::task::yield_now().await;
        let before = tokio::time::Instant::now();
        fill(&queue, 4);
        assert_eq!((counted.recv().await, before.elapsed()), (Some(4), Duration::ZERO));
        fill(&queue, 1);
        assert_eq!(counted.recv().await, Some(1));
        assert!(before.elapsed() >= LIMITS.delay);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_goes_at_the_end() {
        let (queue, mut counted, last) = delivering(Ok(()));
        tokio::task::yield_now().await;
        fill(&queue, 3);
        last.cancel();
        let before = tokio::time::Instant::now();
        assert_eq!((counted.recv().await, counted.recv().await), (Some(3), None));
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_takes_nothing_is_tried_with_what_comes_later() {
        let (queue, mut counted, _last) = delivering(Err("down".into()));
        for _ in 0..3 {
            fill(&queue, 1);
            assert_eq!(counted.recv().await, Some(1));
            assert_eq!(queue.waiting().spans.len(), 0, "what was lost does not come back");
        }
    }

    #[test]
    fn trouble_is_told_once_and_its_end_once() {
        let mut trouble = Trouble::default();
        let down = || Err("down".to_owned());
        assert_eq!(trouble.after(5, 0, Ok(())), News::None);
        assert_eq!(trouble.after(5, 0, down()), News::Begins { lost: 5, why: "down".into() });
        assert_eq!(trouble.after(5, 2, down()), News::None);
        assert_eq!(trouble.after(5, 0, Ok(())), News::Over { lost: 12 });
        assert_eq!(trouble.after(5, 0, Ok(())), News::None);
        assert_eq!(trouble.after(5, 1, Ok(())), News::Begins { lost: 1, why: NO_ROOM.into() });
        assert_eq!(trouble.after(5, 0, Ok(())), News::Over { lost: 1 });
    }
}
