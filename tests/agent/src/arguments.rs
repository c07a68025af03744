//! The command line of the listener, with `VSTS_AGENT_INPUT_…` variables behind it (`CommandSettings.cs`).

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Configure,
    Remove,
    Reauth,
    Run,
    /// `--version`: print it.
    Version,
    /// The worker, as the listener starts it.
    SpawnClient,
}

/// The arguments that the stub understands; the others of the real agent are taken and ignored.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) verb: Verb,
    pub(crate) url: Option<String>,
    pub(crate) auth: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) pool: String,
    pub(crate) agent: Option<String>,
    pub(crate) work: String,
    pub(crate) replace: bool,
    pub(crate) once: bool,
    /// `--startuptype service`: somebody restarts the listener.
    pub(crate) is_service: bool,
}

impl Arguments {
    /// Reads the arguments; names are case-insensitive, the command line wins over the environment.
    pub(crate) fn parse(
        arguments: impl Iterator<Item = String>,
        environment: &[(String, String)],
    ) -> Result<Self, String> {
        let mut verb = Verb::Run;
        let mut given: Vec<(String, Option<String>)> = Vec::new();
        for (index, argument) in arguments.enumerate() {
            if let Some(name) = argument.strip_prefix("--") {
                given.push((name.to_ascii_lowercase(), None));
            } else if let Some((_, value @ None)) = given.last_mut() {
                *value = Some(argument);
            } else {
                verb = match (index, argument.as_str()) {
                    (0, "configure") => Verb::Configure,
                    (0, "remove") => Verb::Remove,
                    (0, "reauth") => Verb::Reauth,
                    (0, "run") => Verb::Run,
                    (0, "spawnclient") => Verb::SpawnClient,
                    // The real one complains about words that it does not know.
                    _ => verb,
                };
            }
        }
        let from_environment = |name: &str| {
            environment
                .iter()
                .find(|(key, _)| {
                    key.to_ascii_lowercase()
                        .strip_prefix("vsts_agent_input_")
                        .is_some_and(|rest| rest == name)
                })
                .map(|(_, value)| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        let value = |name: &str| {
            given
                .iter()
                .find(|(key, _)| key == name)
                .and_then(|(_, value)| value.clone())
                .or_else(|| from_environment(name))
        };
        let flag = |name: &str| {
            given.iter().any(|(key, _)| key == name)
                || from_environment(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
        };
        if flag("version") {
            verb = Verb::Version;
        }
        if matches!(verb, Verb::Configure | Verb::Reauth) && !flag("unattended") {
            return Err("the stub asks no questions: --unattended is needed".to_owned());
        }
        Ok(Self {
            verb,
            url: value("url"),
            auth: value("auth"),
            token: value("token"),
            pool: value("pool").unwrap_or_else(|| "default".to_owned()),
            agent: value("agent"),
            work: value("work").unwrap_or_else(|| "_work".to_owned()),
            replace: flag("replace"),
            once: flag("once"),
            is_service: value("startuptype").is_some_and(|value| value.eq_ignore_ascii_case("service")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str, environment: &[(&str, &str)]) -> Result<Arguments, String> {
        let environment: Vec<_> = environment
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Arguments::parse(line.split_whitespace().map(str::to_owned), &environment)
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let arguments = parse(
            "configure --unattended --URL https://a/ --replace --pool p",
            &[("VSTS_AGENT_INPUT_POOL", "q"), ("vsts_agent_input_token", " t ")],
        )
        .unwrap();
        assert_eq!(arguments.verb, Verb::Configure);
        assert_eq!(arguments.url.as_deref(), Some("https://a/"));
        assert_eq!(arguments.pool, "p");
        assert_eq!(arguments.token.as_deref(), Some("t"));
        assert!(arguments.replace && !arguments.once);
    }

    #[test]
    fn once_can_come_from_the_environment() {
        assert!(parse("run", &[("VSTS_AGENT_INPUT_ONCE", "true")]).unwrap().once);
        assert!(parse("run --once", &[]).unwrap().once);
        assert!(!parse("run", &[]).unwrap().once);
    }

    #[test]
    fn the_version_and_the_kind_of_start_can_be_asked_for() {
        assert_eq!(parse("--version", &[]).unwrap().verb, Verb::Version);
        let service = parse("run --startuptype service --once", &[]).unwrap();
        assert!(service.is_service && service.once);
        assert!(!parse("run --once", &[]).unwrap().is_service);
    }
}
