//! What tests of looking at a server share.

use std::sync::Arc;

use dumprestore_driver::{
    BuildContext, Driver, DriverConfig, Inspection, NodePath, Problem, Result, Severity,
};
use dumprestore_redis::RedisConfig;

pub(crate) fn driver(config: RedisConfig) -> Result<Arc<dyn Driver>> {
    config.build(&BuildContext::new(NodePath::new("cache").unwrap(), "/base"))
}

pub(crate) async fn look(config: RedisConfig) -> Inspection {
    driver(config).unwrap().inspect().await.unwrap()
}

pub(crate) async fn look_at(url: &str) -> Inspection {
    look(RedisConfig::new(url)).await
}

/// The problems that are more than a warning.
pub(crate) fn serious(inspection: &Inspection) -> Vec<&Problem> {
    inspection.problems.iter().filter(|problem| problem.severity > Severity::Warning).collect()
}

/// The one problem whose message or hint has that in it.
pub(crate) fn about<'a>(inspection: &'a Inspection, text: &str) -> &'a Problem {
    let has = |problem: &&Problem| {
        problem.message.contains(text) || problem.hint.as_ref().is_some_and(|hint| hint.contains(text))
    };
    let found: Vec<_> = inspection.problems.iter().filter(has).collect();
    assert_eq!(found.len(), 1, "{text}: {:?}", inspection.problems);
    found[0]
}
