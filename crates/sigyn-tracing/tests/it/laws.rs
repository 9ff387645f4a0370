//! Whatever a program does with its spans, each is recorded once, where `tracing` says it stands.

use std::collections::HashMap;

use http::HeaderMap;
use proptest::prelude::*;
use sigyn_model::{Span as Recorded, SpanId, Value};
use sigyn_recorder::{Context, propagation};
use sigyn_tracing::SpanExt as _;
use tracing::span::EnteredSpan;
use tracing::{Span, info, info_span};

use crate::traced::{Traced, tag};

#[derive(Clone, Debug)]
enum Step {
    /// In whichever span is entered.
    Open,
    OpenRoot,
    OpenBelow(usize),
    /// Continues a caller's trace, which is recorded or not.
    OpenFor(u64, bool),
    Enter(usize),
    /// Leaves one of those that are entered, not always the last.
    Exit(usize),
    Say(usize),
    Ask(usize),
    Close(usize),
    CloseElsewhere(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..64_usize;
    prop_oneof![
        4 => Just(Step::Open),
        1 => Just(Step::OpenRoot),
        2 => which.clone().prop_map(Step::OpenBelow),
        1 => (1..100_u64, any::<bool>()).prop_map(|(id, sampled)| Step::OpenFor(id, sampled)),
        4 => which.clone().prop_map(Step::Enter),
        3 => which.clone().prop_map(Step::Exit),
        2 => which.clone().prop_map(Step::Say),
        1 => which.clone().prop_map(Step::Ask),
        2 => which.clone().prop_map(Step::Close),
        1 => which.prop_map(Step::CloseElsewhere),
    ]
}

/// What is known of a span without looking at the layer.
#[derive(Clone, Debug)]
struct Known {
    parent: Option<usize>,
    caller: Option<Context>,
    said: usize,
}

impl Known {
    /// Whether nobody has decided against its trace.
    fn is_recorded(&self, all: &[Self]) -> bool {
        match (&self.caller, self.parent) {
            (Some(caller), _) => caller.sampled == Some(true),
            (None, Some(parent)) => all[parent].is_recorded(all),
            (None, None) => true,
        }
    }
}

#[derive(Debug, Default)]
struct Program {
    known: Vec<Known>,
    /// Those that are still held, by their number.
    open: Vec<(usize, Span)>,
    entered: Vec<EnteredSpan>,
    numbers: HashMap<tracing::Id, usize>,
}

impl Program {
    fn opened(&mut self, span: Span, parent: Option<usize>, caller: Option<Context>) {
        let number = self.known.len();
        span.record("number", number);
        // A number of `tracing` is used again when its span has closed.
        self.numbers.insert(span.id().unwrap(), number);
        self.known.push(Known { parent, caller, said: 0 });
        self.open.push((number, span));
    }

    fn current(&self) -> Option<usize> {
        Span::current().id().map(|id| self.numbers[&id])
    }

    fn pick(&self, which: usize) -> Option<(usize, Span)> {
        let at = which.checked_rem(self.open.len())?;
        self.open.get(at).cloned()
    }

    fn take(&mut self, which: usize) -> Option<Span> {
        let at = which.checked_rem(self.open.len())?;
        Some(self.open.swap_remove(at).1)
    }

    fn step(&mut self, step: &Step, traced: &Traced) {
        match *step {
            Step::Open => {
                let parent = self.current();
                self.opened(info_span!("work", number = tracing::field::Empty), parent, None);
            }
            Step::OpenRoot => {
                let span = info_span!(parent: None, "work", number = tracing::field::Empty);
                self.opened(span, None, None);
            }
            Step::OpenBelow(which) => {
                let Some((parent, above)) = self.pick(which) else { return };
                let span = info_span!(parent: &above, "work", number = tracing::field::Empty);
                self.opened(span, Some(parent), None);
            }
            Step::OpenFor(id, sampled) => {
                let mut headers = HeaderMap::new();
                let b3 = format!("{id:032x}-{id:016x}-{}", u8::from(sampled));
                headers.insert("b3", b3.parse().unwrap());
                let caller = propagation::extract(&headers).unwrap();
                let span = info_span!("work", number = tracing::field::Empty);
                assert!(span.set_parent(&caller));
                let parent = self.current();
                self.opened(span, parent, Some(caller));
            }
            Step::Enter(which) => {
                self.entered.extend(self.pick(which).map(|(_, span)| span.entered()));
            }
            Step::Exit(which) => {
                if let Some(at) = which.checked_rem(self.entered.len()) {
                    drop(self.entered.remove(at));
                }
            }
            Step::Say(which) => {
                let Some((number, span)) = self.pick(which) else { return };
                let said = &mut self.known[number].said;
                info!(parent: &span, number, "said {said}");
                *said += 1;
            }
            Step::Ask(which) => {
                if let Some((_, span)) = self.pick(which) {
                    assert!(span.context().is_some());
                }
            }
            Step::Close(which) => drop(self.take(which)),
            Step::CloseElsewhere(which) => {
                let Some(span) = self.take(which) else { return };
                std::thread::scope(|scope| {
                    scope.spawn(|| traced.run(|| drop(span)));
                });
            }
        }
    }
}

fn number(span: &Recorded) -> usize {
    match tag(&span.tags, "number") {
        Some(Value::Int(number)) => usize::try_from(number).unwrap(),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_span_is_recorded_once_with_its_parent(steps in prop::collection::vec(step(), 0..60)) {
        let traced = Traced::new();
        let mut program = Program::default();
        traced.run(|| {
            steps.iter().for_each(|step| program.step(step, &traced));
            program.entered.clear();
            program.open.clear();
        });
        let known = program.known;
        let spans = traced.spans();
        let by_number: HashMap<usize, &Recorded> =
            spans.iter().map(|span| (number(span), span)).collect();
        prop_assert_eq!(by_number.len(), spans.len(), "one of them twice");
        for (number, of) in known.iter().enumerate() {
            let Some(span) = by_number.get(&number) else {
                prop_assert!(!of.is_recorded(&known), "{} is missing", number);
                continue;
            };
            prop_assert!(of.is_recorded(&known), "{} is not sampled", number);
            prop_assert_eq!(span.annotations.len(), of.said);
            match (&of.caller, of.parent) {
                (Some(caller), _) => {
                    prop_assert_eq!(span.parent_id, caller.span_id);
                    prop_assert_eq!(span.trace_id, caller.trace_id);
                }
                (None, Some(parent)) => {
                    let parent = by_number[&parent];
                    prop_assert_eq!(span.parent_id, Some(parent.id));
                    prop_assert_eq!(span.trace_id, parent.trace_id);
                }
                (None, None) => prop_assert_eq!(span.parent_id, None::<SpanId>),
            }
        }
        prop_assert_eq!(traced.recorder.stats().finished, spans.len() as u64);
    }
}
