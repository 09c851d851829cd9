//! Hooks as they are written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use dumprestore_driver::{BuildContext, Result, Secret};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::{Hook, HookPoint, Hooks, OnError};

/// Programs to run at certain points. Each is a list: the program and its arguments; no shell is involved.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Hooks")]
pub(crate) struct WrittenHooks {
    /// Before anything is read.
    before_dump: WrittenHookList,
    /// After everything was dumped, before the archive gets its final name.
    after_dump: WrittenHookList,
    /// Before anything is staged.
    before_restore: WrittenHookList,
    /// After everything is staged and checked, before the first commit: the place for migrations.
    pre_swap: WrittenHookList,
    /// After the last commit.
    after_restore: WrittenHookList,
    /// At the end of a run that worked.
    on_success: WrittenHookList,
    /// At the end of a run that did not.
    on_failure: WrittenHookList,
    /// At the end of every run.
    always: WrittenHookList,
}

impl WrittenHooks {
    /// Reads the secrets in them.
    pub(crate) fn build(self, cx: &BuildContext) -> Result<Hooks> {
        let points = [
            (HookPoint::BeforeDump, self.before_dump),
            (HookPoint::AfterDump, self.after_dump),
            (HookPoint::BeforeRestore, self.before_restore),
            (HookPoint::PreSwap, self.pre_swap),
            (HookPoint::AfterRestore, self.after_restore),
            (HookPoint::OnSuccess, self.on_success),
            (HookPoint::OnFailure, self.on_failure),
            (HookPoint::Always, self.always),
        ];
        let mut hooks = Hooks::new();
        for (point, written) in points {
            for hook in written.0 {
                hooks = hooks.with(point, hook.0.build(cx)?);
            }
        }
        Ok(hooks)
    }
}

/// The hooks of a point, in the order in which they run.
#[derive(Default, JsonSchema)]
#[schemars(transparent)]
struct WrittenHookList(Vec<WrittenHook>);

impl<'de> Deserialize<'de> for WrittenHookList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = WrittenHookList;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of hooks")
            }
            fn visit_str<E: serde::de::Error>(self, _: &str) -> std::result::Result<WrittenHookList, E> {
                Err(E::custom(NO_SHELL))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> std::result::Result<WrittenHookList, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(WrittenHookList)
            }
        }
        deserializer.deserialize_any(Written)
    }
}

/// The program and its arguments as a list, or a mapping with more settings.
struct WrittenHook(Settings);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HookSettings")]
struct Settings {
    /// The program and its arguments.
    run: Argv,
    /// After this long it is killed, and has failed: `30s`, `5m`, `1h 30m`.
    #[serde(default)]
    timeout: Option<Timeout>,
    /// What its failure means.
    #[serde(default)]
    on_error: OnError,
    /// What is added to its environment.
    #[serde(default)]
    env: BTreeMap<String, Secret>,
}

impl Settings {
    fn build(self, cx: &BuildContext) -> Result<Hook> {
        let mut hook = Hook::new(self.run.0).with_on_error(self.on_error);
        hook.timeout = self.timeout.map(|timeout| timeout.0);
        for (name, value) in self.env {
            hook = hook.with_env(name, value.reveal(cx)?);
        }
        Ok(hook)
    }
}

const NO_RUN_SHELL: &str = "a command is a list, not a text: no shell takes it apart\n\
    hint: write `[\"program\", \"argument\"]`, and `[\"sh\", \"-c\", \"…\"]` where a shell is wanted";

const NO_SHELL: &str = "a command is a list, not a text: no shell takes it apart\n\
    hint: write `[[\"program\", \"argument\"]]`, and `[[\"sh\", \"-c\", \"…\"]]` where a shell is wanted";

impl<'de> Deserialize<'de> for WrittenHook {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = WrittenHook;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list (the program and its arguments) or a mapping with `run`")
            }
            fn visit_str<E: serde::de::Error>(self, _: &str) -> std::result::Result<WrittenHook, E> {
                Err(E::custom(NO_SHELL))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, argv: A) -> std::result::Result<WrittenHook, A::Error> {
                let run = ArgvVisitor.visit_seq(argv)?;
                Ok(WrittenHook(Settings {
                    run,
                    timeout: None,
                    on_error: OnError::Fail,
                    env: BTreeMap::new(),
                }))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<WrittenHook, A::Error> {
                Settings::deserialize(MapAccessDeserializer::new(map)).map(WrittenHook)
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl JsonSchema for WrittenHook {
    fn schema_name() -> Cow<'static, str> {
        "Hook".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (argv, settings) = (generator.subschema_for::<Argv>(), generator.subschema_for::<Settings>());
        json_schema!({ "anyOf": [argv, settings] })
    }
}

/// A program and its arguments.
struct Argv(Vec<String>);

struct ArgvVisitor;

impl<'de> Visitor<'de> for ArgvVisitor {
    type Value = Argv;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list: the program and its arguments")
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> std::result::Result<Argv, E> {
        Err(E::custom(NO_RUN_SHELL))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut argv: A) -> std::result::Result<Argv, A::Error> {
        let mut words: Vec<String> = Vec::new();
        while let Some(word) = argv.next_element()? {
            words.push(word);
        }
        match words.first().map(String::as_str) {
            None | Some("") => Err(A::Error::custom("a command needs a program to run")),
            Some(_) if words.iter().any(|word| word.contains('\0')) => {
                Err(A::Error::custom("an argument can't hold a zero byte"))
            }
            Some(_) => Ok(Argv(words)),
        }
    }
}

impl<'de> Deserialize<'de> for Argv {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(ArgvVisitor)
    }
}

impl JsonSchema for Argv {
    fn schema_name() -> Cow<'static, str> {
        "Argv".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "items": { "type": ["string", "number", "boolean"] },
            "minItems": 1,
            "description": "The program and its arguments. No shell is involved."
        })
    }
}

/// A length of time, such as `30s`.
struct Timeout(Duration);

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match humantime::parse_duration(&text) {
            Ok(time) if !time.is_zero() => Ok(Self(time)),
            _ => Err(D::Error::custom(format!(
                "`{text}` is not a length of time\nhint: write `30s`, `5m` or `1h 30m`"
            ))),
        }
    }
}

impl JsonSchema for Timeout {
    fn schema_name() -> Cow<'static, str> {
        "Timeout".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A length of time, such as `30s`, `5m` or `1h 30m`." })
    }
}
