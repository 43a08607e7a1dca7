//! The words of free sentences: what can be spoken of, and what can be said of it. What they mean together is in
//! `combined.rs`, how they are heard in [`crate::verdict::heard`].
//!
//! A word is the beginning of one ("revok"), or all of it where a space ends it ("key "). The longest that is there
//! counts: a "token limit" is no token. Words are as `heard` tidies them: no marks but apostrophes, and a space between
//! letters and characters.

/// Some of these things, a bit for each.
pub(in crate::verdict) type Things = u64;

// What is spoken of.
pub(in crate::verdict) const KEY: Things = 1;
pub(in crate::verdict) const ACCOUNT: Things = 1 << 1;
pub(in crate::verdict) const PLAN: Things = 1 << 2;
pub(in crate::verdict) const MONEY: Things = 1 << 3;
pub(in crate::verdict) const QUOTA: Things = 1 << 4;
/// Requests and tokens, and how many of them there are.
pub(in crate::verdict) const TRAFFIC: Things = 1 << 5;
pub(in crate::verdict) const LIMIT: Things = 1 << 6;
/// A limit's time: a minute.
pub(in crate::verdict) const SHORT: Things = 1 << 7;
/// A day, or longer.
pub(in crate::verdict) const LONG: Things = 1 << 8;
pub(in crate::verdict) const MODEL: Things = 1 << 9;
pub(in crate::verdict) const PROVIDER: Things = 1 << 10;
/// Where the client is, as countries go.
pub(in crate::verdict) const PLACE: Things = 1 << 11;
/// Where it is, as networks go.
pub(in crate::verdict) const ADDRESS: Things = 1 << 12;
/// What people write into requests.
pub(in crate::verdict) const CONTENT: Things = 1 << 13;
/// What programs write into them.
pub(in crate::verdict) const SHAPE: Things = 1 << 14;
/// It is no matter for long.
pub(in crate::verdict) const NOW: Things = 1 << 15;
/// Whoever asks.
pub(in crate::verdict) const YOURS: Things = 1 << 16;
// What is said of it.
/// It was good once, and will never be again.
pub(in crate::verdict) const DEAD: Things = 1 << 17;
/// No longer what it was.
pub(in crate::verdict) const GONE: Things = 1 << 18;
/// It was never what it should be.
pub(in crate::verdict) const WRONG: Things = 1 << 19;
pub(in crate::verdict) const REJECTED: Things = 1 << 20;
pub(in crate::verdict) const SPENT: Things = 1 << 21;
pub(in crate::verdict) const FAST: Things = 1 << 22;
/// It is not for the one who asks.
pub(in crate::verdict) const DENIED: Things = 1 << 23;
/// It is not there, for the one who asks or for now.
pub(in crate::verdict) const ABSENT: Things = 1 << 24;
pub(in crate::verdict) const DOWN: Things = 1 << 25;
pub(in crate::verdict) const UNSAFE: Things = 1 << 26;
pub(in crate::verdict) const TOO_LONG: Things = 1 << 27;
// Enough of a sentence by itself.
pub(in crate::verdict) const THROTTLED: Things = 1 << 28;
/// Trouble of the provider's that is told without naming who has it.
pub(in crate::verdict) const OUTAGE: Things = 1 << 29;
/// What to do about it is to pay.
pub(in crate::verdict) const PAY: Things = 1 << 30;
/// What nobody would say of anything but a prompt.
pub(in crate::verdict) const HARM: Things = 1 << 31;
/// Nobody could look whether a key is good.
pub(in crate::verdict) const UNCHECKED: Things = 1 << 32;
// What makes something else of other words.
/// Turns what follows, or stands right before it.
pub(in crate::verdict) const NOT: Things = 1 << 33;
/// A key, if the word before does not say that it is something else's.
pub(in crate::verdict) const LOOSE: Things = 1 << 35;
/// Longer words that a shorter one must not be heard in.
const NOTHING: Things = 1 << 34;

/// Words that mean the same, of three bytes at least.
#[derive(Debug)]
pub(in crate::verdict) struct Meaning {
    pub(in crate::verdict) plain: Things,
    /// What they mean behind a negation.
    pub(in crate::verdict) negated: Things,
    /// Between bars.
    pub(in crate::verdict) words: &'static str,
}

/// Means this, negated or not.
const fn of(thing: Things, words: &'static str) -> Meaning {
    Meaning { plain: thing, negated: thing, words }
}

/// Means this, unless it is negated.
const fn said(thing: Things, words: &'static str) -> Meaning {
    Meaning { plain: thing, negated: 0, words }
}

/// Means this if it is negated.
const fn denying(thing: Things, words: &'static str) -> Meaning {
    Meaning { plain: 0, negated: thing, words }
}

#[rustfmt::skip]
pub(in crate::verdict) static VOCABULARY: &[Meaning] = &[
    of(NOT, "not |no |never |nothing |none |cannot |can't |unable |without |fails to |failed to |don't |doesn't |didn't |isn't |aren't |wasn't |weren't |won't |couldn't |haven't |hasn't |nobody |neither "),
    of(NOT, "不|未|没|无法|无|nicht |kein|pas |aucun|n'a|n'e|n'o|n'y|ne |jamais|ningún|ninguna|nenhum|никак|нету |sin |sem |não |не |нет "),

    Meaning { plain: NOT | GONE, negated: NOT | GONE, words: "no longer|not any more|not any longer|ya no |nicht mehr|não mais|больше не|больше нет|n'est plus|plus aucun|不再|已不" },
    of(SHAPE, "grammar|unknown endpoint|unknown route|unknown path|unknown url"),
    of(NOTHING, "no credits were|no credits have been|no credit was|retry budget|error budget|memory budget|latency budget|time budget|flow control credits|dropout rate|client closed|client disconnect|closed connection|login time out|sampling rate|sample rate|frame rate|bit rate|bitrate|learning rate|speaking rate|speech rate|frequency penalty|request id |trace id |accountant|accounting|accountab|api keyboard|api keyword|keyboard|keyword|api tokeniz|schlüsselw|compteur|responses api|response api|winding down|wind down|bad response|bad request|error message|error code|status code|chat completions|completions|not only|no later|入力された|good standing|minor version|minor update|minor change"),

    of(KEY, "access token|access key id|auth token|authorization token|identity token|api secret|client secret|personal access token|api key|apikey|access key|secret key|subscription key|api token|bearer|passkey|license key|licence key|service account key"),
    of(KEY | LOOSE, "token's |key's |passcode|password|signing key|signature|certificate|key |keys |credential|secret |secrets |token "),
    of(KEY, "金钥|权杖|签名|口令|密码|授权码|鉴权信息|キーを|キーの|キーも|密钥|秘钥|密匙|令牌|凭证|凭据|api キー|キーは|キーが|アクセスキー|トークンは|トークンが|認証情報|シークレット"),
    of(KEY, "apischlüssel|api clé|geheimnis|mot de passe|contraseña|senha|llave |ключи|ключей|пароль|credenciais|anmeldedaten|token d'accès|schlüssel|api schlüssel|zugriffstoken|zugangstoken|zugangsschlüssel|zugangsdaten|clé |clef |jeton|identifiants|clave |credencial|chave |ключ |ключа |ключом |токен |токена |토큰|키가|키는"),
    of(ACCOUNT, "group |company|owner |seat|login|user |client |holder|account|organisation|organization|org |workspace|tenant|project|team |customer|service account|sub account|profile|membership"),
    of(ACCOUNT, "使用者|账户|账号|帐户|帐号|用户|组织|项目|租户|团队|アカウント|組織|プロジェクト|konto|projekt|compte|organización|organização|cuenta|proyecto|projet |projeto|conta |аккаунт|учётн|учетн|организаци|проект|계정|조직"),
    of(PLAN, "pay as you go|free period|forfait|bill you|licence|license|free allowance|billed|plan |subscription|trial|package|billing|invoice|payment|card on file|credit card|card |free tier|bundle|bill "),
    of(PLAN, "服务费|套件|契約|料金|vertrag|contrat|contrato|договор|套餐|订阅|试用|账单|会员|プラン|サブスクリプション|abonnement|tarif|rechnung|facture|suscripción|factura|assinatura|fatura|подписк|тариф|구독"),
    of(MONEY, "上限額|利用額|spending guard|charge|cash|purse|pocket|cost|payment of|expense|credit|balance|fund|wallet|money|prepaid|budget|spend|spending|expenditure|deposit|dollar|top up"),
    of(MONEY, "资金|经费|余量|代金券|お金|資金|dinero|dinheiro|argent |geld|деньги|денег|счет|счёт|돈|余额|额度|金额|积分|点数|费用|预算|钱|残高|クレジット|予算|guthaben|saldo|crédit|crédito|solde|presupuesto|orçamento|fondos|fonds |баланс|средств|бюджет|кредит|잔액|크레딧|예산"),
    of(LONG | MONEY, "tagesbudget|monatsbudget|tagesguthaben|monatsguthaben"),
    of(LONG | QUOTA, "tages|monats|wochen|jahresk|monthly units|daily units"),
    of(LIMIT | SPENT, "上限に"),
    Meaning { plain: MONEY | SPENT, negated: MONEY, words: "spending stop|hard stop|arrears|insufficient quota|欠费" },
    of(PLAN | SPENT, "non payment|nonpayment|unpaid|dunning"),
    of(MONEY | SPENT, "balance 0|余额 0|余额为 0|余额为零"),
    of(TRAFFIC | SPENT, "0 requests|0 calls|0 messages|0 generations"),
    of(QUOTA, "consumption limit|consumption cap|characters left|characters remaining|free messages|messages left|messages remaining|tokens for today|included calls|included requests|quota|allowance|allotment|allocation|usage|entitlement|free requests|free calls|free tokens"),
    of(QUOTA, "免费次|调用次|配额|用量|限额|调用量|次数|利用枠|クォータ|割り当て|kontingent|cuota|cota |quote part|квот|лимит токенов|할당량"),
    of(TRAFFIC, "访问频|访问量|访问过|requests open|open requests|rate ceiling|burst|streams|connections|speed|calling us|pace|messages per|tokens a|token throughput|requests|calls|request rate|call rate|rate |traffic|request frequency|call frequency|calling frequency|access frequency|api frequency|your frequency|frequency of request|frequency of call|frequency of your|frequency limit|throughput|concurren|parallel|simultaneous|in flight|at once|generations|invocations|tokens per|rpm |tpm |qps |request limit|call limit"),
    of(TRAFFIC, "同時接続|приложени|вызов|请求|频率|频次|并发|调用频|速率|流量|リクエスト|同時|呼び出し|anfragen|aufrufe|requêtes|appels|solicitudes|peticiones|llamadas|requisições|solicitações|chamadas|запросов|обращени|запросы|요청"),
    of(LIMIT, "permitted rate|allowed rate|permitted frequency|allowed frequency|限额|limit|cap |ceiling|maximum|threshold|上限|限制|限流|límite|limite|grenze|obergrenze|лимит|предел|한도"),
    of(SHORT, "per minute|per second|minute|second |seconds |hourly|per hour|an hour|rpm |tpm |qps |秒|分钟|每小时|分あたり|pro minute|par minute|por minuto|в минуту|분당"),
    of(LONG, "day |daily|days |today|week|month|year|annual|lifetime|billing cycle|billing period|in total|overall|全部|日|天|月|周|年|täglich|diári|quotidien|monat|jour |journali|mois |mensuel|diari|mensual|mensal|mes |mês |день|сутки|суточн|месяц|месячн|сегодня|heute|aujourd'hui|oggi|hoje|오늘|дневн|ежедневн|ежемесячн|недел|월|일일|하루|매월|매일|giornalier|mensil|settimanal|wöchentlich|hebdomad|for january|for february|for march|for april|for june|for july|for august|for september|for october|for november|for december"),
    of(MODEL, "model's|endpoint group|model |models |engine|checkpoint|fine tune|模型|モデル|modell|modèle|modelo|модел|모델"),
    of(PROVIDER, "session store|store |runner|host |hosts|origin |dns|socket|pod |pods|container|scheduler|router|load balanc|we're |api server|data centre|servers|vendor|cell |shard|fleet|websocket|tunnel|edge |service|server|backend|back end|upstream|gateway|cluster|gpu|replica|node |nodes |worker|infrastructure|datacenter|data center|provider|our side|our end|our systems|platform|inference|model server|machine|hardware|deployment|capacity|connection|proxy |load balancer|database|identity|queue"),
    of(PROVIDER, "伺服器|机房|主机|容器|网络|后台|线路|平台|引擎|ネットワーク|ホスト|rechenzentrum|knoten|plateforme|hébergeur|plataforma|infraestructura|infraestrutura|платформ|хост|бэкенд|кластер|服务|后端|上游|网关|节点|集群|算力|机器|系统|通道|渠道|サーバ|サービス|システム|バックエンド|dienst|modellserver|serveur|servicio|servidor|serviço|servi|сервер|сервис|шлюз|узел|서버|서비스"),
    of(PLACE, "part of the world|where you live|geograph|geo |continent|your market|from here|nation|area you|出海|境内|境外|所在地|region|countr|location|located|territor|jurisdiction|where you are|地区|国家|区域|地域|国 |land |pays |país|стран|регион"),
    of(ADDRESS, "origin of the call|calling host|caller|ip |ips |address|network|callers |referer|referrer|cidr|subnet|网段|白名单|地址|アドレス|adresse|dirección|endereço|адрес"),
    Meaning { plain: ADDRESS, negated: ADDRESS | DENIED, words: "allow list|allowlist|whitelist|permitted list|safe list|approved list|list of allowed" },
    of(CONTENT, "该词|关键词|this term |this phrase |this keyword|prompt|message|messages|your message|user message|content|topic|conversation|picture|image|photo|audio|video|text |input|output|instruction|question|answer you|dialog|assistant turn|user turn|transcript|lyrics|lyric|drawing|scene|reply|generation of|language|story|code you"),
    of(CONTENT, "内容|提示词|图片|图像|输入|话题|对话|消息|音频|视频|文本|プロンプト|コンテンツ|入力|メッセージ|画像|inhalt|nachricht|eingabe|bild |anfrage enthält|contenu|votre message|saisie|contenido|mensaje|entrada|imagen|conteúdo|mensagem|imagem|содержан|содержим|сообщени|контент|изображен|текст|콘텐츠|메시지|프롬프트"),
    of(SHAPE, "organization header|organisation header|project header|name |id |identifier|seed|images per|pixels|resolution|megabytes|mb |kb |page size|pages|columns|rows|position|object |line |column|offset|service tier|value of|parameter|param |field|schema|json|function|tool|argument|property|properties|max tokens|token limit|token count|token budget|token id|tokens requested|stop token|special token|page token|next token|pagination|idempotency key|cache key|encryption key|partition key|object key|primary key|public key|key value|context|url |file |files |document|format|temperature|top p|syntax|payload|body |webhook|mcp |enum|integer|array|string|characters|decod|parse|parsing|role |header field|metadata|dimension|logit|attachment|vector|batch|thread|resource|route |path "),
    of(SHAPE, "参数|字段|上下文|长度|文件|工具|函数|范围|格式|取值|パラメータ|フィールド|引数|ツール|feld |werkzeug|champ |paramètre|outil|campo|parámetro|herramienta|parâmetro|ferramenta|параметр|поле |инструмент|файл|파라미터|필드"),
    of(NOW, "currently|temporar|right now|at the moment|momentar|soon |shortly|later |for now|again in|retry in|this time|transient|briefly|暂时|稍后|稍候|当前|目前|临时|一時|現在|しばらく|derzeit|vorübergehend|später|momentan|actuellement|temporaire|moment |plus tard|temporal|más tarde|momento|временно|сейчас|позже|temporaria|mais tarde|잠시|일시"),
    of(YOURS | ACCOUNT, "this account|this project|this organi|this workspace|per account|本账"),
    of(YOURS | KEY, "this key |per key |该密钥|此密钥"),
    of(YOURS, "your |you |you've |you're |您|你|ihr|votre |vous |su |sus |seu |sua |ваш"),

    said(DEAD, "logged out|signed out|signed off|永久关闭|已关闭|关闭|were reset|was reset|been reset|past its validity|expiré|expirad|burned|burnt|has passed|期限が|切れています|有効期限|冻结|закончил|кончил|end of life|end of its life|offboarded|voided|void|pulled|shut down|shut off|turned off|switched off|barred|stopped being|stopped work|dissolved|stale|outdated|discarded|scrapped|wiped|evicted|removed|kicked|unlinked|detached|orphan|abandoned|dormant|deregister|unregister|fraud|abuse|breach|ceased|nullified|annul|cut off|taken away|ejected|excluded|expelled|quarantin|reset by|regenerated|rolled|expiration|expiry|past its expir|dismissed|struck off|ousted|blocklist|denylist|deny list|revok|revoc|deleted|destroyed|rotated|expire|disabled|deactivat|suspended|blocked|banned|retired|withdrawn|lapsed|dead |defunct|cancelled|canceled|compromised|leaked|stolen|inactive|terminated|closed|obsolete|decommission|blacklisted|frozen|locked|archived|erased|purged|killed|superseded|replaced|no longer exist|permanently"),
    said(DEAD, "停权|停止使用|停止服务|不再有效|销毁|回收|已换|被换|拉黑|黑名单|关停|清退|除名|到期失效|已废|永久封|被封|封号|失效|失去效力|作废|过期|删除|禁用|停用|吊销|撤销|收回|注销|封禁|封停|泄露|被关闭|废弃|轮换"),
    said(DEAD, "使えません|ご利用いただけなく|停止中|破棄|閉鎖|解約|aufgehoben|zerstört|nicht mehr gültig|geschlossen|stillgelegt|aufgelöst|beschädigt|détruit|annulé|périmé|fermé|caduc|corrompu|retirad|caducad|destruid|cerrad|clausurad|dado de baja|dañad|encerrad|banid|apagad|corrompid|уничтожен|закрыт|забанен|деактивирован|повреж|ликвидирован|сброшен|устарел|해지|비활성|만료|失効|期限切れ|削除|停止され|取り消|凍結|widerrufen|abgelaufen|gelöscht|gesperrt|deaktiviert|zurückgezogen|révoqu|expir|supprim|désactiv|suspendu|bloqué|résili|revocad|revogad|eliminad|excluíd|desactivad|desativad|suspendid|suspens|bloquead|cancelad|anulad|отозван|аннулирован|удал|заблокирован|истек|истёк|просрочен|отключен|отключён|삭제|폐기|차단|정지"),
    said(WRONG, "n'exist|登録されていません|another product|another service|bad |invalid|incorrect|wrong|unknown|unrecogni|malformed|mismatch|nonexistent|no such|garbage|unusable|damaged|corrupt|tampered|mistyped|misspelled|typo|truncated|incomplete|copy paste|mixed up|another environment|other environment|not ours|nonsense|unfamiliar|counterfeit|bogus|fake|forged|checksum|authentication failed|authentication failure|login failed|login failure|auth failed"),
    said(WRONG, "无效|错误|有误|不正确|不存在|不在系统|不合法|不匹配|非法|校验失败|查无|不对|对不上|填写有|不符|假的|伪造|没有找到|格式不|有问题|未注册|认证失败|鉴权失败|登录失败"),
    said(WRONG, "無効|正しくありません|見つかりません|存在しません|不正|間違|誤り|誤って|有効ではありません|未登録|ungültig|unbekannt|falsch|ungueltig|invalide|inconnu|erroné|inválid|desconocid|desconhecid|errone|equivocad|errad|incorret|недействит|неверн|неизвест|не существует|ошибочн|неправильн|유효하지|잘못|틀렸"),
    denying(WRONG, "属于|ours|own |owns|correspond|find |record|look right|decrypt|succeed|success|pass |passed|resolve|tied|associated|attached|linked|assigned|live |alive|legit|familiar|understood|check out|checks out|trace|locate|listed|in use|operational|hold up|ring a bell|stand|exists|existent|existen|gilt |valable|vigente|vigent|ativ|aktiv|actif|activa|активен|актив|работает|fonctionne|funktioniert|funciona|valid|recogni|exist|registered|active|match|known|honour|honor|usable|belong|one of ours|on file|in our|found|verify|verified|validat|correct|genuine|work|identif|authenticat|trusted|look up|issued|any more|anymore|gültig|bekannt|existe|existiert|válid|valide|reconnu|reconocid|reconhecid|encontrad|trouvé|gefunden|найден|существует|действителен|распознан|有效|正确|存在|找到|匹配|识别|通过|注册"),
    Meaning { plain: DEAD, negated: DENIED, words: "cleared" },
    of(KEY | WRONG, "ключа нет|нет такого ключа|no such key|no such token|no such api key|查无此令牌|查无此密钥"),
    said(REJECTED, "rejected|refused|not accepted|rechazad|rejeitad|refusé|abgelehnt|отклон|被拒|拒否"),
    denying(REJECTED, "accept|acept|aceit"),

    Meaning { plain: SPENT, negated: DOWN, words: "reached|reach " },
    said(SPENT, "last of your|too small|too little|esaurit|superat|raggiunt|elapsed|归零|tripped|ausgeschöpft|terminó|se terminó|达到|达上限|higher than|more than|greater than|cap met|ceiling met|limit met|just met|empty |was met|is met|been met|out of|run dry|ran dry|dried up|eaten|all gone|all used|been used|fully used|used 100|finished|broke |bust|minus|in debt|tapped out|blown|overrun|overspent|went through|gone through|hard stop|spending stop|expended|no more|did not go through|bounced|failed to charge|not go through|refused|unsettled|ceiling hit|topped out|at its|on its last|until tomorrow|till tomorrow|reset tomorrow|dipped|below|used up|exhaust|exceed|insufficient|negative|ran out|run out|runs out|deplet|consumed|drained|burned|burnt|in the red|overdrawn|gone |maxed|hit |was hit|been hit|over |over its|went over|past its|past the|beyond|above|zero|too low|overdue|declined|past due|used all|used every|ended|lapsed|expire|outstanding|surpass|crossed|owe |owing|spent |is 0 |short of|0 left"),
    said(SPENT, "全部使用|全部用|花光|花完|用没|清零|见底|已使用完|没了|不剩|耗光|消耗完|告罄|停机|已全|空了|到顶|封顶|触顶|不多|扣完|低于|拒付|扣款失败|用完|用尽|用光|耗尽|不足|不够|超出|超过|超限|已满|已达|没钱|到期|过期|逾期|透支|为零|为负|充值"),
    said(SPENT, "ありません|残って|ゼロ|尽き|切れ|満了|マイナス|verbraucht|abgelaufen|null |negativ|alle |terminé|nul |expiré|consommé|à sec|négatif|consumid|gastad|acabó|terminad|expirad|en cero|zerad|vencid|usado|потрачен|нулев|отрицател|истек|истёк|использован|законч|израсход|끝났|다 썼|만료|없습니다|足りません|使い切|超過|超え|達し|なくなり|aufgebraucht|erschöpft|überschritten|erreicht|überzogen|leer |nicht genug|épuisé|dépass|atteint|insuffisant|vide |agotad|superad|excedid|alcanzad|insuficiente|acab|esgotad|ultrapass|atingid|исчерпан|превыш|закончил|недостаточно|израсходован|достигнут|кончил|부족|소진|초과|도달"),
    denying(SPENT, "crédit|crédito|guthaben|solde|средств|деньги|денег|dinero|dinheiro|argent |geld|fondos|quota|allowance|paid |settled|quedan|quedar|resta|reste|übrig|остал|осталось|残って|enough|sufficient|left |remain|cover|suffice|available|afford|more |credit|funds|money|balance|够|足够|可用|剩余|余额|ausreichend|genügend|genug|assez|suffisant|suficiente|bastante|хватает"),
    said(FAST, "too high|rapid|hurry|flood|spam|hammer|bombard|all at once|too hard|at full tilt|arriving faster|reduce|above what|more than we|太猛|太急|太密|集中|殺到|連続|zu häufig|zu rasch|trop vite|trop fréquent|trop rapide|muy seguid|demasiado rápid|muy deprisa|muito rápid|rápido demais|быстро|много|너무 많|너무 빠|too many|too much|too fast|too quick|too often|too frequent|quicker|faster|excessive|过快|太快|过多|太多|过高|频繁|太频|速すぎ|多すぎ|頻繁|zu viele|zu schnell|zu oft|trop |demasiad|muy rápido|muitas|слишком|част"),
    said(THROTTLED, "more per second than|more per minute than|faster than your|faster than allowed|faster than permitted|more often than your|more often than allowed|more frequently than|easy there|too rapid|rapidly|reduce the speed|speed limit|reduce your request|cooling down|cool off|take it easy|take a breath|spacing|space out|too quick|操作太快|操作过快|太快|歇一|慢一点|慢点|zu schnell|muy rápido|demasiado rápido|trop vite|muito rápido|rápido demais|слишком быстро|速すぎ|短時間に|too frequently|너무 빠|throttl|slow down|too fast|too quickly|back off|calm|pace your|rate limit|rate limited|cool down|ease off|限流|限速|频率限制|频次|请求过快|速度过快|レート制限|ratenlimit|gedrosselt|más despacio|limitación de velocidad|лимит запросов|ограничение скорости"),
    said(DENIED, "has disabled|have disabled|has blocked|have blocked|has restricted|have restricted"),
    said(DENIED, "outside the models|outside of the models|outside the list of|outside of what|outside what|not among the models|not on the list of models|not in the list of models|not one of the models|only |solely|exclusive|out of bounds|beyond your|insufficient rights|insufficient privilege|insufficient access|not for you|仅可|只能|仅供|仅对|不具备|のみ|nur |nicht berechtigt|seulement|réservé|solo |reservad|somente|apenas|только|не имеет прав|forbidden|denied|lack|restrict|off limits|prohibited|reserved for|requires |needs a|upgrade|missing permission|without permission|无权|越权|未授权|未开通|无权限|权限不足|拒绝访问|仅限|権限がありません|許可されて|keine berechtigung|verweigert|refusé|interdit|permiso|permissão|denegad|negad|запрещ|нет прав|нет доступа|권한"),
    denying(DENIED, "invoke|may |run |perform|use |using|let |lets |switched on|turned on|activated|unlock|open to|ability|able to|may use|used with|used for|usable with|part of|scope|qualif|sold|ship to|welcome|supported|support |serve|let you|购买|开启|激活|applicable|zugelassen|freigeschaltet|habilit|liberad|inclu|пуска|включен|allow|permit|access|authori|right|entitle|enabl|includ|come with|cover|eligible|licens|offer|grant|privileg|subscribed|autoris|autoriz|berechtigt|erlaubt|permis|permitid|权限|授权|开通|允许|支持|доступ|разреш|прав "),
    said(ABSENT, "异常|abnormal|unavailable|not offered|不可用"),
    denying(ABSENT, "available|disponible|disponível|verfügbar|доступен|可用"),
    said(UNCHECKED, "while checking|while verifying|while validating|check keys|check your|cannot check|can't check|couldn't check|could not check|could not validate|could not verify|couldn't verify|couldn't validate|can't verify|cannot verify|cannot validate|unable to verify|unable to check|unable to validate|failed to validate|failed to verify|无法校验|无法验证|检查失败"),
    said(DOWN, "being swapped|being allocated|being provisioned|being migrated|being replaced|spinning up|returned garbage|returned an invalid|invalid response|invalid answer|returned nothing|bad answer|died|occupied|perished|系统异常|服务异常|连接异常|内部异常|struggl|went away|went down|hang up|hung up|restart|reboot|being restart|gone away|aborted|closed the connection|unhealthy|panic|out of memory|oom|fault|fell over|falling over|deploying|upgrading|being updated|collaps|stuck|jammed|backlog|flooded|too slow|not running|scaled|scaling|draining|booted|loading|initiali|broke |malfunction|dropped|error while|disconnected|snapped|severed|went dark|asleep|waking|unreachable|down |outage|maintenance|overload|busy|timed out|timeout|time out|crash|failed|failure|lost |unresponsive|saturat|swamped|warming|starting up|starting |booting|cold start|restarting|redeploy|congest|hiccup|trouble|broken|went wrong|no free|offline|degraded|stalled|refused the|connection refused|reset by|full |error on|internal error|bad gateway|exception|incident"),
    said(DOWN, "开小差|正在重启|重启|重新部署|升级|加载|崩了|挂了|断线|中断|掉线|抽风|拥挤|排队|太忙|忙碌|打盹|卡住|不稳定|报错|出错|未启动|没启动|启动中|接続できません|接続に失敗|停止してい|落ちて|起動|再起動|応答が|タイムアウト|できませんでした|gestört|störung|neu gestartet|abgestürzt|hors service|redémarr|en cours de|planté|caíd|reiniciand|colapsad|fora do ar|caiu|instável|reinicia|перезапус|упал|не работает|отключен|авари|недоступен|отказал|멈췄|재시작|응답하지|繁忙|过载|超时|故障|维护|失败|无法访问|无法连接|断开|崩溃|拥堵|算力不足|资源不足|没有响应|宕机|混み合|混雑|過負荷|利用できません|応答|メンテナンス|障害|ダウン|überlastet|nicht erreichbar|nicht verfügbar|ausgefallen|wartung|ausgelastet|surcharg|indisponible|injoignable|en panne|saturé|sobrecarg|no está disponible|indisponível|no disponible|mantenimiento|manutenção|fuera de servicio|перегружен|недоступ|не отвечает|обслуживани|сбой|занят|과부하|점검|장애"),
    denying(DOWN, "send |sent |response|reply|return|deliver|produce|get through|running|up |home|healthy|come up|keep up|load|boot|start|spare|connection|responding|fonctionne|funciona|funktioniert|работает|respond|answer|reach|ready|connect|free |capacity|complete|responde|erreichbar|répond|отвечает|响应"),
    of(UNSAFE, "拦截|风控|触发|declined by|don't generate|won't generate|can't generate|cannot generate|can't help|cannot help|can't assist|judged|banned topic|unacceptable|disallowed|celebrit|adult|objectionable|classified|rated|breaks our|breach|不符合|不合规|不予|不允许|不能|不适|拒绝|touch|risk|not appropriate|screen|ハラスメント|拒否|利用規約|nicht zulässig|abgelehnt|ofensiv|prohib|impropri|contraire|interdit|не допуска|наруша|не соответ|불쾌|허용되지|violat|policy|policies|safety|unsafe|harmful|inappropriate|sensitive|flagged|moderat|stopped|filter|against|real person|edited|offensive|explicit|guideline|rules|refuse|declin|blocked|sexual|violence|敏感|违规|违反|不当|审核|安全|违禁|不適切|違反|ポリシー|verstößt|unangemessen|richtlinie|enfreint|inappropri|règles|infring|inapropiad|inapropriad|política|viola|нарушает|запрещ|недопустим|부적절|위반"),
    said(HARM, "cyber intru|cyber offen|cyber weapon|cyber crime|cybercrime|cyber misuse|cyber attack|cyberattack|cyber activit|cyber risk|cyber threat|cyber harm|hacking|biological|bioweapon|radiological|chemical weapon|nuclear weapon|underage|minor |a child|children|malware|virus|exploit|phishing|ransomware|drugs|违法|犯罪|毒品|self harm|suicid|hateful|hate speech|weapon|copyright|nudity|nude|minors|child abuse|gore|harass|terroris|explosive|porn|nsfw|sexual|celebrit|real people|public figure|deepfake|extremis|profan|slur|jailbreak|copyrighted|refusing to answer|will not answer|won't answer|self injury|自残|自杀|暴力|色情|涉黄|涉政|政治|仇恨|违禁|武器|自傷|わいせつ|gewalt|suizid|suicidio|violencia|violência|насили|самоубий"),
    said(OUTAGE, "unexpected condition|unexpected error|unexpected problem|unexpected failure|econnreset|store is down|outage|socket hang|dns |econn|our end|our side|our fault|we broke|bear with us|technical difficult|technical problem|technical issue|incident|internal problem|internal fault|internal failure|connection was reset|connection reset|network error|network failure|went wrong|hiccup|网络故障|网络异常|网络错误|开小差|内部故障|技术故障|系统维护|システム障害|技術的な問題|技术问题|technische störung|interner fehler|wartungsarbeiten|panne|incident technique|problème technique|erreur interne|problema técnico|error interno|fallo interno|erro interno|falha interna|техническ|внутренняя ошибка|내부 오류"),
    said(PAY, "储值|refill|replenish|top up|topped up|recharge|buy |purchase|pay |paid plan|add funds|settle|payable|subscribe to|bill you|billing details|续费|续订|充值|购买|付款|缴费|支付|开通套餐|チャージ|支払|購入|aufladen|bezahl|zahlung|recharger|payer|paiement|recarg|pague|pagar|pago|pagamento|comprar|пополн|оплат|купит|결제|충전"),
    said(TOO_LONG, "larger than|longer than|too long|too large|too big|shorten|shorter|过长|太长|超长|長すぎ|zu lang|trop long|demasiado larg|muito long|слишком длин|exceeds the context|alone"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_word_is_listed_twice_for_what_it_means() {
        let mut listed = HashSet::new();
        for Meaning { plain, negated, words } in VOCABULARY {
            for word in words.split('|') {
                assert!(listed.insert((plain, negated, word)), "{word}");
            }
        }
        // The beginning of a word is all of it as well.
        for (plain, negated, word) in &listed {
            let is_both = word.ends_with(' ') && listed.contains(&(plain, negated, word.trim_end()));
            assert!(!is_both, "{word}");
        }
    }
}
