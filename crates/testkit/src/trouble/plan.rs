//! What is to go wrong, and with which requests.

use std::collections::VecDeque;
use std::time::Duration;

/// How many requests are remembered.
const MOST_SEEN: usize = 10_000;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// The connection breaks before the server hears of the request.
    Refuse,
    /// The server does not hear of it, and the client is answered with this status: 503 is told as `SlowDown`, 400 as
    /// `InvalidRequest`, 500 and others as `InternalError`.
    Status(u16),
    /// The connection breaks, and the server hears of the request that much later. It has no body.
    Later(Duration),
    /// The server does not hear of the conditions in its headers, as one that does not know them.
    Unconditional,
    /// The answer has this header as well: `name: value`.
    Adorn(&'static str),
    /// The connections break once the server has so many bytes of the request's body.
    CutRequest(u64),
    /// The server does what it is asked to, and the connection breaks before its answer arrives.
    LoseAnswer,
    /// The connection ends after so many bytes of the answer's body, as if no more were to come.
    CutAnswer(u64),
    /// The server is asked, and its answer never comes, nor does the connection end.
    Stall,
    /// Bodies pass at so many bytes a second.
    Slow(u64),
}

impl Mishap {
    /// What the answer has besides.
    pub(super) fn header(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Adorn(header) => header.split_once(": "),
            _ => None,
        }
    }
}

/// Some of the requests.
#[derive(Debug, Clone)]
pub struct Requests {
    method: Option<String>,
    parts: Vec<String>,
    after: usize,
    every: usize,
    times: usize,
}

impl Requests {
    /// All of them.
    pub fn all() -> Self {
        Self { method: None, parts: Vec::new(), after: 0, every: 1, times: usize::MAX }
    }

    /// Of these, those with that method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Of these, those whose path and query, as they are sent, have this in them: `partNumber=2&`.
    pub fn with(mut self, part: &str) -> Self {
        self.parts.push(part.to_owned());
        self
    }

    /// Of these, those that come after so many.
    pub fn after(mut self, number: usize) -> Self {
        self.after = number;
        self
    }

    /// Of these, the first of each so many.
    ///
    /// # Panics
    /// If that is none.
    pub fn every(mut self, number: usize) -> Self {
        assert!(number > 0, "every request of none");
        self.every = number;
        self
    }

    /// Of these, the first so many.
    pub fn times(mut self, number: usize) -> Self {
        self.times = number;
        self
    }

    fn include(&self, method: &str, target: &str) -> bool {
        self.method.as_ref().is_none_or(|wanted| wanted == method)
            && self.parts.iter().all(|part| target.contains(part))
    }

    /// Whether it applies to the `number`th that matches.
    fn apply(&self, number: usize) -> bool {
        let Some(since) = number.checked_sub(self.after) else { return false };
        since % self.every == 0 && since / self.every < self.times
    }
}

/// What is to go wrong, and what has.
#[derive(Default)]
pub(super) struct Plan {
    rules: Vec<Rule>,
    mishaps: usize,
    seen: VecDeque<String>,
}

struct Rule {
    requests: Requests,
    mishap: Mishap,
    matched: usize,
}

impl Plan {
    pub(super) fn add(&mut self, requests: Requests, mishap: Mishap) {
        self.rules.push(Rule { requests, mishap, matched: 0 });
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(super) fn mishaps(&self) -> usize {
        self.mishaps
    }

    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.iter().cloned().collect()
    }

    /// Notes a request, and says what is to become of it.
    pub(super) fn next(&mut self, method: &str, target: &str) -> Option<Mishap> {
        if self.seen.len() == MOST_SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(format!("{method} {target}"));
        for rule in &mut self.rules {
            if rule.requests.include(method, target) {
                let number = rule.matched;
                rule.matched += 1;
                if rule.requests.apply(number) {
                    self.mishaps += 1;
                    return Some(rule.mishap);
                }
            }
        }
        None
    }
}
