//! How far a long computation is: one line on stderr that is written over, where somebody sees it. Nothing is written
//! where stderr goes into a file or a pipe.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Shows the part of all work that is done. Dropped, it leaves nothing behind.
pub(super) struct Progress {
    total: usize,
    done: AtomicUsize,
    line: Option<Mutex<Line>>,
}

/// What is written.
struct Line {
    to: Box<dyn Write + Send>,
    /// The percentage that is shown.
    shown: Option<usize>,
    /// Its length in characters.
    length: usize,
}

impl Progress {
    /// Of so many parts, on stderr if that is a terminal.
    pub(super) fn on_stderr(total: usize) -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_seen = std::io::stderr().is_terminal() && !is_dumb;
        Self::of(total, is_seen.then(|| Box::new(std::io::stderr()) as Box<dyn Write + Send>))
    }

    fn of(total: usize, to: Option<Box<dyn Write + Send>>) -> Self {
        let line = to.map(|to| Mutex::new(Line { to, shown: None, length: 0 }));
        Self { total, done: AtomicUsize::new(0), line }
    }

    /// A part of `what` is done.
    pub(super) fn step(&self, what: &str) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let Some(line) = &self.line else { return };
        let percent = done.saturating_mul(100) / self.total.max(1);
        let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was overtaken says nothing new.
        if line.shown.is_none_or(|shown| shown < percent) {
            line.show(&format!("{percent:>3}% {what}"));
            line.shown = Some(percent);
        }
    }
}

impl Line {
    /// Writes over what is there. That nobody sees it is no reason to stop.
    fn show(&mut self, text: &str) {
        let length = text.chars().count();
        let _ = write!(self.to, "\r{text:<width$}", width = self.length.max(length));
        let _ = self.to.flush();
        self.length = length;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let Some(line) = &mut self.line else { return };
        let line = line.get_mut().unwrap_or_else(PoisonError::into_inner);
        if line.shown.is_some() {
            line.show("");
            let _ = write!(line.to, "\r");
            let _ = line.to.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn one_line_for_each_percent_and_none_in_the_end() {
        let screen = Screen::default();
        let progress = Progress::of(400, Some(Box::new(screen.clone())));
        (0..4).for_each(|_| progress.step("Argo Rollouts"));
        (0..4).for_each(|_| progress.step("Serin"));
        drop(progress);
        let bytes = screen.0.lock().expect("nobody panics").clone();
        let text = String::from_utf8(bytes).expect("it is text");
        let expected = "\r  0% Argo Rollouts\r  1% Argo Rollouts\r  2% Serin        \r          \r";
        assert_eq!(text, expected);
    }

    #[test]
    fn nothing_where_nobody_sees_it() {
        let progress = Progress::of(2, None);
        (0..3).for_each(|_| progress.step("Serin"));
        assert_eq!(progress.done.load(Ordering::Relaxed), 3);
    }
}
