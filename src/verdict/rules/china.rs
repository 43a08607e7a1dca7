//! Providers whose first language is Chinese: Zhipu (GLM), Alibaba (DashScope), Moonshot (Kimi), SiliconFlow,
//! Volcengine (Doubao), MiniMax, Baidu (Qianfan), Tencent (Hunyuan). Their numbers and code words; what they say in
//! words is in `causes.rs`.

use super::Test::{Code, CodeWith, Has, NoCodeWith, Says, Silent, Status};
use super::{Form, Row, row};
use crate::verdict::Verdict::{KeyExhausted, KeyInvalid, KeyLimited, RequestFault, UpstreamFault};

const ZHIPU: &str = "https://docs.bigmodel.cn/cn/faq/api-code";
const DASHSCOPE: &str = "https://www.alibabacloud.com/help/en/model-studio/error-code";
const MOONSHOT: &str = "https://platform.moonshot.ai/docs/api/chat#error-description";
const KIMI: &str = "https://www.kimi.com/code/docs";
const SILICONFLOW: &str = "https://docs.siliconflow.cn/faqs/error-code";
const VOLCENGINE: &str = "https://www.volcengine.com/docs/82379/1299023";
const MINIMAX: &str = "https://platform.minimax.io/docs/api-reference/errorcode";
const BAIDU: &str = "https://cloud.baidu.com/doc/WENXINWORKSHOP/s/tlmyncueh";
const TENCENT: &str = "https://cloud.tencent.com/document/product/1729/101846";
const IFLYTEK: &str = "https://www.xfyun.cn/doc/spark/Web.html";
const HUAWEI: &str =
    "https://support.huaweicloud.com/intl/en-us/usermanual-maas-modelarts/maas-modelarts-0080.html";

/// Zhipu's numbers stand in an `error` object; Mistral's, which are the same, do not.
const NUMBERED: super::Test = Has(Form::ErrorObject);
/// Tencent's, which are others' too, stand beside OpenAI's type.
const NOT_TENCENTS: super::Test = NoCodeWith(&["invalid_request_error"]);

pub(super) static ROWS: &[Row] = &[
    // MiniMax's 1002 is a limit, and relays pass it on in an `error` object too.
    row(
        "zhipu.key",
        ZHIPU,
        KeyInvalid,
        &[
            Status(&[400, 401, 403, 0]),
            NUMBERED,
            NOT_TENCENTS,
            Code(&["1000", "1002", "1003", "1004"]),
            Silent(&["rate limit", "频率", "限流"]),
        ],
    ),
    row(
        "zhipu.account",
        ZHIPU,
        KeyInvalid,
        &[NUMBERED, NOT_TENCENTS, Code(&["1110", "1111", "1112", "1121"])],
    ),
    row("zhipu.no_key_seen", ZHIPU, UpstreamFault, &[NUMBERED, NOT_TENCENTS, Code(&["1001"])]).barred(),
    row(
        "zhipu.quota",
        ZHIPU,
        KeyExhausted,
        &[
            NUMBERED,
            Code(&[
                "1113", "1304", "1308", "1309", "1310", "1313", "1314", "1315", "1316", "1317", "1318",
                "1319", "1320", "1321",
            ]),
        ],
    )
    .in_china(),
    row("zhipu.model_of_plan", ZHIPU, KeyExhausted, &[NUMBERED, Code(&["1220", "1311"])]).denied(),
    row("zhipu.rate", ZHIPU, KeyLimited, &[NUMBERED, Code(&["1302", "1303"])]).in_china(),
    row(
        "zhipu.busy",
        ZHIPU,
        UpstreamFault,
        &[NUMBERED, Code(&["1120", "1200", "1230", "1234", "1305", "1312"])],
    ),
    row(
        "zhipu.request",
        ZHIPU,
        RequestFault,
        &[
            NUMBERED,
            Code(&[
                "1210", "1211", "1212", "1213", "1214", "1215", "1221", "1222", "1231", "1261", "1300",
                "1301",
            ]),
        ],
    ),
    // Alibaba. The same word as OpenAI's for no credit means a limit per minute here.
    row(
        "dashscope.free_quota",
        DASHSCOPE,
        KeyExhausted,
        &[CodeWith(&["allocationquota"]), Says(&["free allocated", "free tier"])],
    )
    .of_model(),
    row("dashscope.free_only", DASHSCOPE, KeyExhausted, &[CodeWith(&["freetieronly"])]).of_model(),
    // What relays leave of it.
    row(
        "dashscope.free_told",
        DASHSCOPE,
        KeyExhausted,
        &[Says(&["free tier of the model has been exhausted", "free allocated quota exceeded"])],
    )
    .of_model(),
    // A plan's windows, with the codes of limits per minute.
    row(
        "dashscope.plan_spent",
        "https://www.alibabacloud.com/help/model-studio/coding-plan-faq",
        KeyExhausted,
        &[
            Status(&[403, 429, 0]),
            Says(&["allocated quota exceeded"]),
            Says(&[
                "hour allocated quota exceeded",
                "week allocated quota exceeded",
                "month allocated quota exceeded",
            ]),
        ],
    ),
    row(
        "dashscope.throttled_by_its_page",
        DASHSCOPE,
        KeyLimited,
        &[Status(&[429, 0]), Says(&["error-code#token-limit"])],
    )
    .of_model(),
    row(
        "dashscope.throttled_in_openais_words",
        DASHSCOPE,
        KeyLimited,
        &[Has(Form::RequestIdBeside), Code(&["insufficient_quota"])],
    )
    .of_model(),
    row(
        "dashscope.throttled_by_its_words",
        DASHSCOPE,
        KeyLimited,
        &[
            Code(&["insufficient_quota"]),
            Says(&["help.aliyun.com", "alibabacloud.com", "allocated quota exceeded"]),
        ],
    )
    .of_model(),
    row("dashscope.overloaded", DASHSCOPE, UpstreamFault, &[Code(&["throttling.serviceoverloaded"])]),
    row(
        "dashscope.throttled",
        DASHSCOPE,
        KeyLimited,
        &[Code(&[
            "throttling",
            "throttling.ratequota",
            "throttling.burstrate",
            "throttling.allocationquota",
            "throttling.concurrency",
            "throttling.user",
            "limit_requests",
            "limit_tokens",
            "limit_burst_rate",
        ])],
    )
    .of_model(),
    row(
        "dashscope.unpaid",
        DASHSCOPE,
        KeyExhausted,
        &[Code(&[
            "arrearage",
            "postpaidbilloverdue",
            "prepaidbilloverdue",
            "budgetlimitexceeded",
            "commoditynotpurchased",
        ])],
    ),
    row(
        "dashscope.model",
        DASHSCOPE,
        KeyExhausted,
        &[Code(&[
            "model.accessdenied",
            "accessdenied.unpurchased",
            "workspace.accessdenied",
            "accessdenied",
        ])],
    )
    .denied(),
    // The same code for a key that did not come where it is looked for.
    row(
        "dashscope.no_key_seen",
        DASHSCOPE,
        UpstreamFault,
        &[Code(&["invalidapikey"]), Says(&["no api-key provided"])],
    )
    .barred(),
    row("dashscope.key", DASHSCOPE, KeyInvalid, &[Code(&["invalidapikey"])]),
    row(
        "dashscope.inspection",
        DASHSCOPE,
        RequestFault,
        &[Code(&["datainspectionfailed", "data_inspection_failed"])],
    ),
    // Moonshot: one type for agents that are not welcome and for accounts that are closed.
    row("kimi.agents_only", KIMI, RequestFault, &[Says(&["only available for coding agents"])]),
    row("kimi.membership_unknown", KIMI, UpstreamFault, &[Says(&["unable to verify your membership"])]),
    row("moonshot.overloaded", MOONSHOT, UpstreamFault, &[Code(&["engine_overloaded_error"])]),
    row("moonshot.quota", MOONSHOT, KeyExhausted, &[Code(&["exceeded_current_quota_error"])]),
    row(
        "moonshot.rate_of_day",
        MOONSHOT,
        KeyExhausted,
        &[
            Code(&["rate_limit_reached_error"]),
            Says(&["tpd rate", "per day", "for this period", "usage limit", "billing cycle", "weekly"]),
        ],
    ),
    row(
        "moonshot.rate",
        MOONSHOT,
        KeyLimited,
        &[
            Code(&["rate_limit_reached_error"]),
            Says(&["rate limit", "max request", "max rpm", "concurrency"]),
        ],
    ),
    row(
        "kimi.model_of_plan",
        KIMI,
        KeyExhausted,
        &[Code(&["permission_denied_error"]), Says(&["does not have access to"])],
    )
    .denied(),
    row(
        "kimi.cycle",
        KIMI,
        KeyExhausted,
        &[
            Code(&["permission_denied_error", "access_terminated_error"]),
            Says(&["usage limit", "billing cycle", "your quota"]),
        ],
    ),
    row("moonshot.permission", MOONSHOT, KeyExhausted, &[Status(&[403]), Code(&["permission_denied_error"])])
        .of_model(),
    row("moonshot.closed", MOONSHOT, KeyInvalid, &[Code(&["access_terminated_error"])]),
    // SiliconFlow.
    // Of the other of its two hosts, too, which knows other tokens.
    row(
        "coze.token",
        "https://github.com/coze-dev/coze-py/issues/78",
        KeyInvalid,
        &[
            Status(&[401, 0]),
            Has(Form::Flat),
            Code(&["4100", "4101"]),
            Says(&["authentication is invalid", "token you entered is incorrect"]),
        ],
    )
    .weak(),
    row("siliconflow.key", SILICONFLOW, KeyInvalid, &[Has(Form::Flat), Code(&["30014"])]),
    row("siliconflow.balance", SILICONFLOW, KeyExhausted, &[Has(Form::Flat), Code(&["30001"])]),
    row("siliconflow.model", SILICONFLOW, KeyExhausted, &[Has(Form::Flat), Code(&["30003", "30011"])])
        .denied(),
    row("siliconflow.busy", SILICONFLOW, UpstreamFault, &[Has(Form::Flat), Code(&["50505"])]),
    row("siliconflow.request", SILICONFLOW, RequestFault, &[Has(Form::Flat), Code(&["20012", "20015"])]),
    // Volcengine.
    row("volcengine.overloaded", VOLCENGINE, UpstreamFault, &[Code(&["serveroverloaded"])]),
    row(
        "volcengine.unpaid",
        VOLCENGINE,
        KeyExhausted,
        &[Code(&["accountoverdueerror", "invalidaccountstatus", "operationdenied.serviceoverdue"])],
    ),
    row("volcengine.not_open", VOLCENGINE, KeyExhausted, &[Code(&["operationdenied.servicenotopen"])])
        .denied(),
    row("volcengine.paused", VOLCENGINE, KeyExhausted, &[Code(&["setlimitexceeded"])]).of_model(),
    row("volcengine.rate_of_account", VOLCENGINE, KeyLimited, &[Code(&["accountratelimitexceeded"])]),
    row(
        "volcengine.rate",
        VOLCENGINE,
        KeyLimited,
        &[CodeWith(&["ratelimitexceeded", "requestbursttoofast", "inflightbatchsizeexceeded"])],
    )
    .of_model(),
    row("volcengine.key", VOLCENGINE, KeyInvalid, &[Status(&[401, 0]), Code(&["authenticationerror"])]),
    row("volcengine.closed", VOLCENGINE, RequestFault, &[Code(&["invalidendpoint.closedendpoint"])]),
    row(
        "volcengine.model",
        VOLCENGINE,
        RequestFault,
        &[CodeWith(&["invalidendpointormodel", "modelnotopen"])],
    )
    .denied(),
    row("volcengine.quota", VOLCENGINE, KeyExhausted, &[Code(&["accountquotaexceeded"])]).in_china(),
    // MiniMax: its numbers at the end of messages, on its Anthropic route.
    row(
        "minimax.rate_told",
        MINIMAX,
        KeyLimited,
        &[Status(&[429, 500, 0]), Code(&["(1002)", "(1039)", "(1041)", "(2045)"])],
    )
    .of_model(),
    row(
        "minimax.balance_told",
        MINIMAX,
        KeyExhausted,
        &[Status(&[402, 403, 429, 500, 0]), Code(&["(1008)", "(2056)"])],
    ),
    row("minimax.key_told", MINIMAX, KeyInvalid, &[Status(&[401]), Code(&["(1004)", "(2049)"])]),
    row(
        "minimax.model_of_plan_told",
        "https://github.com/liliMozi/openhanako/issues/452",
        KeyExhausted,
        &[Status(&[400, 403, 429, 500, 0]), Code(&["(2061)"])],
    )
    .denied(),
    // MiniMax: always 200, with `base_resp`.
    row("minimax.rate", MINIMAX, KeyLimited, &[Has(Form::BaseResp), Code(&["1002", "1039", "1041", "2045"])])
        .of_model(),
    row("minimax.key", MINIMAX, KeyInvalid, &[Has(Form::BaseResp), Code(&["1004", "2049"])]),
    row("minimax.balance", MINIMAX, KeyExhausted, &[Has(Form::BaseResp), Code(&["1008", "2056"])]),
    row("minimax.model_of_plan", MINIMAX, KeyExhausted, &[Has(Form::BaseResp), Code(&["2061"])]).denied(),
    row(
        "minimax.request",
        MINIMAX,
        RequestFault,
        &[
            Has(Form::BaseResp),
            Code(&["1026", "1027", "1042", "1043", "1044", "2013", "2037", "2039", "2042", "2048", "20132"]),
        ],
    ),
    // Baidu: always 200, with `error_code`.
    row("baidu.key", BAIDU, KeyInvalid, &[Status(&[0]), Has(Form::Flat), Code(&["110", "111"])]),
    row(
        "baidu.key_told",
        BAIDU,
        KeyInvalid,
        &[Status(&[0]), Has(Form::Flat), Code(&["14"]), Says(&["iam certification failed"])],
    ),
    row(
        "baidu.rate_told",
        BAIDU,
        KeyLimited,
        &[Status(&[0]), Has(Form::Flat), Code(&["4"]), Says(&["request limit reached"])],
    )
    .of_model(),
    row("baidu.quota", BAIDU, KeyExhausted, &[Status(&[0]), Has(Form::Flat), Code(&["17", "19"])]),
    row("baidu.permission", BAIDU, KeyExhausted, &[Status(&[0]), Has(Form::Flat), Code(&["6"])]).of_model(),
    row(
        "baidu.request",
        BAIDU,
        RequestFault,
        &[Status(&[0]), Has(Form::Flat), Code(&["100", "336001", "336002", "336003", "336006", "336007"])],
    ),
    row("baidu.rate", BAIDU, KeyLimited, &[Status(&[0]), Has(Form::Flat), Code(&["18", "336501", "336502"])])
        .of_model(),
    row("baidu.busy", BAIDU, UpstreamFault, &[Status(&[0]), Has(Form::Flat), Code(&["336100", "336000"])]),
    row(
        "baidu.request_other",
        BAIDU,
        RequestFault,
        &[Status(&[0]), Has(Form::Flat), CodeWith(&["3361", "3362", "3363"])],
    ),
    row(
        "baidu.rate_of_model",
        "https://cloud.baidu.com/doc/qianfan-api/s/Fm2vrveyu",
        KeyLimited,
        &[Code(&["rpm_rate_limit_exceeded", "tpm_rate_limit_exceeded", "preemptible_rate_limit_exceeded"])],
    )
    .of_model(),
    // Tencent.
    row(
        "tencent.request",
        "https://cloud.tencent.com/document/api/1721/101527",
        RequestFault,
        &[Code(&["actionoffline", "nosuchproduct", "nosuchversion", "invalidaction", "unknownparameter"])],
    ),
    row("tencent.permission", TENCENT, KeyExhausted, &[CodeWith(&["authfailure.unauthorizedoperation"])])
        .of_model(),
    row("tencent.address", TENCENT, KeyExhausted, &[Code(&["ipnotinwhitelist", "ipinblacklist"])]),
    row("tencent.key", TENCENT, KeyInvalid, &[CodeWith(&["authfailure."]), Silent(&["signature expired"])]),
    row(
        "tencent.unpaid",
        TENCENT,
        KeyExhausted,
        &[CodeWith(&[
            "failedoperation.serviceisolated",
            "failedoperation.servicenotactivated",
            "failedoperation.servicestop",
            "failedoperation.userunautherror",
            "failedoperation.resourcepackexhausted",
            "resourceinsufficient.chargeresourceexhaust",
        ])],
    ),
    row("tencent.rate", TENCENT, KeyLimited, &[CodeWith(&["requestlimitexceeded"])]).of_model(),
    row("tencent.limit", TENCENT, KeyLimited, &[Code(&["limitexceeded"])]).of_model(),
    // iFlytek.
    row("iflytek.quota", IFLYTEK, KeyExhausted, &[Code(&["11200", "11201"])]),
    row("iflytek.rate", IFLYTEK, KeyLimited, &[Code(&["11202", "11203"])]),
    row("iflytek.content", IFLYTEK, RequestFault, &[Code(&["10013", "10014", "10019", "10163", "10907"])]),
    // Huawei.
    row("huawei.quota", HUAWEI, KeyExhausted, &[Code(&["modelarts.81005", "modelarts.81006"])]),
    row("huawei.model", HUAWEI, KeyExhausted, &[Code(&["modelarts.81004"])]).denied(),
    row("huawei.key", HUAWEI, KeyInvalid, &[Code(&["modelarts.81003", "modelarts.4905"])]),
    row("huawei.rate", HUAWEI, KeyLimited, &[Code(&["modelarts.4206"])]).of_model(),
    row("huawei.no_key_seen", HUAWEI, UpstreamFault, &[Code(&["modelarts.81002"])]).barred(),
    row("huawei.content", HUAWEI, RequestFault, &[Code(&["modelarts.81011"])]),
];
