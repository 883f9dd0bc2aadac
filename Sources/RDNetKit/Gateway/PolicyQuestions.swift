/// Connections that wait for a person's answer, and the answers given.
///
/// Limits: questions (beyond it, the answer is no), connections per question, remembered answers.
/// An unanswered question ends with no.
final class PolicyQuestions: TimerObserver {
    /// Limit on open questions.
    static let maximumQuestions = 256
    /// Limit on one guest's, so that another guest can still ask.
    static let maximumPerGuest = 32
    /// Limit on connections that wait for one answer.
    static let maximumWaiting = 64
    /// Limit on remembered answers.
    static let maximumAnswers = 4_096
    /// How long an answer holds for the same guest and destination.
    static let memory = Duration.seconds(600)

    /// How a question ended.
    enum Outcome {
        case allowed
        case denied
        /// The rules have changed and may know the answer now.
        case moot
    }

    /// One open question.
    struct Question {
        /// Never reused.
        let number: Int
        /// The first flow that raised it.
        let record: PolicyRecord
        let deadline: Instant
        /// The process that asks, as people read it; nil if it is unknown.
        fileprivate(set) var process: String?
        fileprivate var waiting: [(Outcome) -> Void]
    }

    /// What an answer is about.
    private struct Subject: Hashable {
        let guest: IPAddress
        let rule: String

        init(_ record: PolicyRecord) {
            guest = record.guest
            rule = record.neededRule
        }
    }

    private struct Answer {
        let isAllowed: Bool
        let expires: Instant
    }

    private let loop: EventLoop
    /// How long a new question stays open.
    var patience = Duration.seconds(30)
    /// Called with each new question.
    var asked: (Question) -> Void = { _ in }
    private var questions: [Subject: Question] = [:]
    private var answers: [Subject: Answer] = [:]
    private var lastNumber = 0
    private var timer: TimerWheel.Token?

    /// Creates an empty table.
    ///
    /// - Parameter loop: Runs the timer.
    init(loop: EventLoop) {
        self.loop = loop
    }

    /// The open questions, oldest first.
    var open: [Question] { questions.values.sorted { $0.number < $1.number } }

    /// Asks about a flow.
    ///
    /// - Parameters:
    ///   - record: The flow.
    ///   - answered: Called once with the answer, unless it is returned.
    /// - Returns: The answer, if it is known.
    func ask(_ record: PolicyRecord, _ answered: @escaping (Outcome) -> Void) -> Bool? {
        if let answer = answer(to: record) { return answer }
        let subject = Subject(record)
        if let question = questions[subject] {
            guard question.waiting.count < Self.maximumWaiting else { return false }
            questions[subject]?.waiting.append(answered)
            return nil
        }
        let own = questions.keys.count { $0.guest == record.guest }
        guard questions.count < Self.maximumQuestions, own < Self.maximumPerGuest else {
            return false
        }
        lastNumber += 1
        let question = Question(
            number: lastNumber,
            record: record,
            deadline: loop.now + patience,
            waiting: [answered]
        )
        questions[subject] = question
        arm()
        asked(question)
        return nil
    }

    /// Says which process has asked a question, if it is still open.
    func name(_ process: String, of number: Int) {
        guard let subject = questions.first(where: { $0.value.number == number })?.key else {
            return
        }
        questions[subject]?.process = process
    }

    /// An answer that still holds; nil if nobody has given one.
    func answer(to record: PolicyRecord) -> Bool? {
        guard let answer = answers[Subject(record)], answer.expires > loop.now else { return nil }
        return answer.isAllowed
    }

    /// Answers an open question.
    ///
    /// - Returns: What it was about; nil if there is no such question.
    func answer(_ number: Int, isAllowed: Bool) -> PolicyRecord? {
        guard let (subject, question) = questions.first(where: { $0.value.number == number }) else {
            return nil
        }
        remember(subject, isAllowed)
        close(subject, question, isAllowed ? .allowed : .denied)
        return question.record
    }

    /// Ends all questions, because the rules have changed; answers stay.
    func restart() {
        closeAll(.moot)
    }

    private func remember(_ subject: Subject, _ isAllowed: Bool) {
        if answers.count >= Self.maximumAnswers {
            answers = answers.filter { $0.value.expires > loop.now }
            if answers.count >= Self.maximumAnswers { answers = [:] }
        }
        answers[subject] = Answer(isAllowed: isAllowed, expires: loop.now + Self.memory)
    }

    private func close(_ subject: Subject, _ question: Question, _ outcome: Outcome) {
        questions[subject] = nil
        for answered in question.waiting { answered(outcome) }
    }

    private func closeAll(_ outcome: Outcome) {
        let open = questions
        questions = [:]
        for question in open.values { for answered in question.waiting { answered(outcome) } }
    }

    private func arm() {
        guard timer == nil, let next = questions.values.map(\.deadline).min() else { return }
        timer = loop.schedule(next, observer: self)
    }

    func timerFired(now: Instant) {
        timer = nil
        for (subject, question) in questions where question.deadline <= now {
            close(subject, question, .denied)
        }
        arm()
    }

    /// Denies everything that waits.
    func stop() {
        if let timer { loop.cancel(timer) }
        timer = nil
        closeAll(.denied)
    }
}
