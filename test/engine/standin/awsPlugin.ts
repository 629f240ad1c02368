/**
 * The plugin that the real engine starts in place of AWS's. It speaks the engine's protocol by itself, because the
 * SDK's own server for providers knows no previews of single resources, which AWS's provider has.
 */
import * as grpc from "@grpc/grpc-js";
import { version } from "@pulumi/aws/package.json";
import { PluginInfo } from "@pulumi/pulumi/proto/plugin_pb";
import { ResourceProviderService } from "@pulumi/pulumi/proto/provider_grpc_pb";
import * as messages from "@pulumi/pulumi/proto/provider_pb";
import { Empty } from "google-protobuf/google/protobuf/empty_pb";
import { Struct, type JavaScriptValue } from "google-protobuf/google/protobuf/struct_pb";
import { lookUp, makeResource, propertiesThatReplace, withName, type Properties } from "./answers";

/** When set, every invocation of a Lambda function fails with this text. */
const failInvocations = process.env.STANDIN_FAIL_INVOCATIONS;

let region = "";

/** Turns a function of the request into a gRPC handler; what it throws is what the engine reports. */
function answering<Request, Response>(
  answer: (request: Request) => Response,
): grpc.handleUnaryCall<Request, Response> {
  return (call, callback) => {
    try {
      callback(null, answer(call.request));
    } catch (error) {
      callback({ code: grpc.status.UNKNOWN, details: (error as Error).message });
    }
  };
}

function plain(struct: Struct | undefined): Properties {
  return struct?.toJavaScript() ?? {};
}

function struct(properties: Properties): Struct {
  return Struct.fromJavaScript(properties as Record<string, JavaScriptValue>);
}

/** Type token and Pulumi name out of `urn:pulumi:<stack>::<project>::<parent types>$<type>::<name>`. */
function partsOf(urn: string): [type: string, name: string] {
  const [, , types = "", name = ""] = urn.split("::");
  return [types.slice(types.lastIndexOf("$") + 1), name];
}

function configure(request: messages.ConfigureRequest): messages.ConfigureResponse {
  region = String(plain(request.getArgs()).region);
  const response = new messages.ConfigureResponse();
  response.setSupportspreview(true);
  return response;
}

function check(request: messages.CheckRequest): messages.CheckResponse {
  const response = new messages.CheckResponse();
  response.setInputs(struct(withName(...partsOf(request.getUrn()), plain(request.getNews()))));
  return response;
}

/** Says what replaces. Whether and where the inputs differ is left to the engine, which compares them itself. */
function diff(request: messages.DiffRequest): messages.DiffResponse {
  const [type] = partsOf(request.getUrn());
  const response = new messages.DiffResponse();
  response.setReplacesList(
    propertiesThatReplace(type, plain(request.getOldInputs()), plain(request.getNews())),
  );
  return response;
}

/** In a preview only the inputs are known: the engine takes an output that is missing for one not known yet. */
function create(request: messages.CreateRequest): messages.CreateResponse {
  const [type, name] = partsOf(request.getUrn());
  const inputs = plain(request.getProperties());
  const response = new messages.CreateResponse();
  if (request.getPreview()) {
    response.setProperties(struct(inputs));
    return response;
  }
  if (failInvocations !== undefined && type === "aws:lambda/invocation:Invocation") {
    throw new Error(`invoking Lambda Function (${String(inputs.functionName)}): ${failInvocations}`);
  }
  const { id, outputs } = makeResource(type, name, inputs, region);
  response.setId(id);
  response.setProperties(struct(outputs));
  return response;
}

function update(request: messages.UpdateRequest): messages.UpdateResponse {
  const { outputs } = makeResource(...partsOf(request.getUrn()), plain(request.getNews()), region);
  const response = new messages.UpdateResponse();
  response.setProperties(struct(outputs));
  return response;
}

function pluginInfo(): PluginInfo {
  const info = new PluginInfo();
  info.setVersion(version);
  return info;
}

function invoke(request: messages.InvokeRequest): messages.InvokeResponse {
  const response = new messages.InvokeResponse();
  response.setReturn(struct(lookUp(plain(request.getArgs()), region)));
  return response;
}

const server = new grpc.Server({ "grpc.max_receive_message_length": -1 });
server.addService(ResourceProviderService, {
  check: answering(check),
  configure: answering(configure),
  create: answering(create),
  delete: answering(() => new Empty()),
  diff: answering(diff),
  getPluginInfo: answering(pluginInfo),
  invoke: answering(invoke),
  update: answering(update),
});
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  // This is how the engine learns where to call.
  process.stdout.write(`${port}\n`);
});
