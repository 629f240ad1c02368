"""Keeps a view of an existing database fresh; alarms go to a topic, lost ticks to a queue, both made here.

Before it runs, in a virtual environment: `pip install -r requirements.txt` and `pulumi package add ../../components`.
"""

import pulumi
import pulumi_aws as aws
import pulumi_matview_refresh as matview

config = pulumi.Config()


def keep_log(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
    """The log outlives the stack: a child is changed by its type, without an argument of the component for it."""
    if args.type_ != "aws:cloudwatch/logGroup:LogGroup":
        return None
    return pulumi.ResourceTransformResult(props={**args.props, "skipDestroy": True}, opts=args.opts)


on_call = aws.sns.Topic("on-call")
lost_ticks = aws.sqs.Queue("lost-ticks", message_retention_seconds=1_209_600)

refresh = matview.MaterializedViewRefresh(
    "reports",
    views=[{"name": "reporting.sales", "allow_blocking": False}],
    refresh_rate="rate(5 minutes)",
    # Set it to true once the SQL of the output `grants` has been run.
    refresh_enabled=config.get_bool("refresh_enabled") or False,
    database={
        "host": config.require("database_host"),
        "name": "reports",
        "user": "matview_refresh",
        "resource_id": config.require("database_resource_id"),
    },
    network={
        "vpc_id": config.require("vpc_id"),
        "subnet_ids": config.require_object("subnet_ids"),
        "database_security_group_id": config.require("database_security_group_id"),
    },
    alarm_topic_arns=[on_call.arn],
    failure_queue_arn=lost_ticks.arn,
    opts=pulumi.ResourceOptions(transforms=[keep_log]),
)

pulumi.export("function_name", refresh.function_name)
pulumi.export("dashboard_url", refresh.dashboard_url)
pulumi.export("grants", refresh.grants)
