//! Whose session is whose, as far as it was seen.

use azure_protocol::AgentId;

/// Sessions that are remembered; a pod has one at a time.
const MOST: usize = 8;

/// The sessions that passed here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sessions(Vec<(String, AgentId)>);

impl Sessions {
    /// Remembers a session.
    pub fn opened(&mut self, session: &str, agent: AgentId) {
        let session = session.to_ascii_lowercase();
        self.closed(&session);
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push((session, agent));
    }

    /// Forgets one; whose it was.
    pub fn closed(&mut self, session: &str) -> Option<AgentId> {
        let at = self
            .0
            .iter()
            .position(|(known, _)| known.eq_ignore_ascii_case(session))?;
        Some(self.0.remove(at).1)
    }

    /// Whose session it is. One that was opened before this process started is this pod's agent's, or its last one's.
    pub fn agent(&self, session: &str, own: Option<AgentId>, ended: &[AgentId]) -> Option<AgentId> {
        let known = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(session));
        known.map(|(_, agent)| *agent).or(own).or_else(|| ended.last().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_session_is_this_pods() {
        let mut sessions = Sessions::default();
        let (own, old) = (Some(AgentId(7)), [AgentId(3), AgentId(4)]);
        assert_eq!(sessions.agent("s", own, &old), own);
        assert_eq!(sessions.agent("s", None, &old), Some(AgentId(4)));
        assert_eq!(sessions.agent("s", None, &[]), None);
        sessions.opened("S", AgentId(9));
        assert_eq!(sessions.agent("s", own, &old), Some(AgentId(9)));
        for number in 0..20 {
            sessions.opened(&format!("t{number}"), AgentId(number));
        }
        assert_eq!(sessions.0.len(), MOST);
        assert_eq!(sessions.closed("T19"), Some(AgentId(19)));
        assert_eq!(sessions.closed("t19"), None);
    }
}
