use proptest::prelude::*;
use refmon_core::decision::Obligation;
use refmon_core::ids::ApprovalKind;

use super::fixpoint::settle;
use super::*;

/// A forbid of the model: whether its condition holds, and what lifts it.
#[derive(Debug, Clone)]
struct Model {
    applies: bool,
    demand: Option<Demand>,
}

fn any_demand() -> impl Strategy<Value = Demand> {
    prop_oneof![
        4 => (0..4u8).prop_map(|n| Demand::Approval(ApprovalKind::parse(&format!("kind{n}")).unwrap())),
        1 => Just(Demand::Obligation(Obligation::WithholdOutput)),
    ]
}

fn any_model() -> impl Strategy<Value = Model> {
    (any::<bool>(), prop::option::weighted(0.9, any_demand())).prop_map(|(applies, demand)| Model { applies, demand })
}

fn evaluate(models: &[Model], permits: bool, granted: &BTreeSet<String>) -> Evaluation {
    let applies =
        |model: &Model| model.applies && model.demand.as_ref().is_none_or(|demand| !granted.contains(&demand.token()));
    let forbids = (0u32..).zip(models).filter(|(_, model)| applies(model)).map(|(number, _)| number);
    Evaluation {
        permits: if permits { vec![1_000] } else { Vec::new() },
        forbids: forbids.collect(),
        errors: Vec::new(),
    }
}

fn run(models: &[Model], permits: bool, granted: &BTreeSet<String>) -> (Settled, usize) {
    let mut passes = 0;
    let demand = |number: u32| models.get(number as usize).and_then(|model| model.demand.as_ref());
    let settled = settle(granted, demand, |tokens, _| {
        passes += 1;
        evaluate(models, permits, tokens)
    });
    (settled, passes)
}

proptest! {
    #[test]
    fn what_is_demanded_suffices_and_each_part_is_needed(models in prop::collection::vec(any_model(), 0..12), permits in any::<bool>()) {
        let (settled, passes) = run(&models, permits, &BTreeSet::new());
        prop_assert!(passes <= refmon_core::limits::FIXPOINT_PASSES_MAX);
        if let Settled::Permitted { demands, .. } = settled {
            let tokens: BTreeSet<String> = demands.iter().map(Demand::token).collect();
            let after = evaluate(&models, permits, &tokens);
            prop_assert!(after.forbids.is_empty() && !after.permits.is_empty());
            for one in &tokens {
                let mut fewer = tokens.clone();
                fewer.remove(one);
                prop_assert!(!evaluate(&models, permits, &fewer).forbids.is_empty());
            }
        } else {
            // Nothing that could be granted would have helped.
            let all: BTreeSet<String> = models.iter().filter_map(|model| model.demand.as_ref()).map(Demand::token).collect();
            let after = evaluate(&models, permits, &all);
            prop_assert!(after.permits.is_empty() || !after.forbids.is_empty());
        }
    }

    #[test]
    fn the_order_of_policies_does_not_matter(models in prop::collection::vec(any_model(), 0..12), seed in any::<u64>()) {
        let mut shuffled = models.clone();
        let mut state = seed | 1;
        for index in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(index, usize::try_from(state >> 33).unwrap() % (index + 1));
        }
        let outcome = |settled: Settled| match settled {
            Settled::Error(_) => (0, BTreeSet::new()),
            Settled::NoPermit(_) => (1, BTreeSet::new()),
            Settled::Forbidden(numbers) => (2, BTreeSet::from([Demand::Obligation(Obligation::WithholdOutput)].map(|_| {
                // How many forbid is the same; which numbers they have is not.
                numbers.len().to_string()
            }))),
            Settled::Permitted { demands, .. } => (3, demands.iter().map(Demand::token).collect()),
        };
        let before = outcome(run(&models, true, &BTreeSet::new()).0);
        prop_assert_eq!(before, outcome(run(&shuffled, true, &BTreeSet::new()).0));
    }

    #[test]
    fn it_ends_even_if_granting_brings_new_forbids(chain in 1u32..20) {
        let demands: Vec<Demand> =
            (0..chain).map(|n| Demand::Approval(ApprovalKind::parse(&format!("k{n}")).unwrap())).collect();
        let mut passes = 0;
        let settled = settle(&BTreeSet::new(), |number| demands.get(number as usize), |tokens, _| {
            passes += 1;
            let next = u32::try_from(tokens.len()).unwrap();
            let forbids = if next < chain { vec![next] } else { Vec::new() };
            Evaluation { permits: vec![99], forbids, errors: Vec::new() }
        });
        prop_assert!(passes <= refmon_core::limits::FIXPOINT_PASSES_MAX);
        let in_time = (chain as usize) < refmon_core::limits::FIXPOINT_PASSES_MAX;
        let permitted = matches!(settled, Settled::Permitted { .. });
        prop_assert_eq!(permitted, in_time);
    }
}

#[test]
fn a_forbid_that_its_own_demand_does_not_lift_forbids() {
    let demand = Demand::Obligation(Obligation::WithholdOutput);
    let always = |_: &BTreeSet<String>, _: Option<&Evaluation>| Evaluation {
        permits: vec![1],
        forbids: vec![0],
        errors: Vec::new(),
    };
    assert_eq!(settle(&BTreeSet::new(), |_| Some(&demand), always), Settled::Forbidden(vec![0]));
}

#[test]
fn an_error_goes_before_everything() {
    let found = |_: &BTreeSet<String>, _: Option<&Evaluation>| Evaluation {
        permits: vec![1],
        forbids: vec![0],
        errors: vec![2],
    };
    assert_eq!(settle(&BTreeSet::new(), |_| None, found), Settled::Error(vec![2]));
}
